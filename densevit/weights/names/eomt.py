"""Names of EoMT checkpoints, mapped to those of :class:`densevit.networks.segmentation.EoMT`.

The authors' code (github.com/tue-mps/eomt) keeps timm's names for DINOv2 and transformers' for DINOv3; transformers
has names of its own for both.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..load_report import WeightsError, format_shape
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from .trunks import OURS, from_hf_dinov2, from_hf_dinov3

TRUNK = 'backbone.trunk.'
_AUTHORS_HEADS: tuple[Rule, ...] = (
    (r'criterion\..+', None),
    (r'encoder\.pixel_(?:mean|std)', None),
    (r'q\.weight', r'query.weight'),
)
_HF_HEADS: tuple[Rule, ...] = (
    (r'criterion\..+', None),
    (r'class_predictor\.(.+)', r'class_head.\1'),
    (r'mask_head\.fc1\.(.+)', r'mask_head.0.\1'),
    (r'mask_head\.fc2\.(.+)', r'mask_head.2.\1'),
    (r'mask_head\.fc3\.(.+)', r'mask_head.4.\1'),
    (r'upscale_block\.block\.(\d+)\.layernorm2d\.(.+)', r'upscale.\1.norm.\2'),
    (r'upscale_block\.block\.(\d+)\.(.+)', r'upscale.\1.\2'),
)
# The authors' DINOv3 backbone: transformers' layers under timm's two names.
_AUTHORS_DINOV3: tuple[Rule, ...] = (
    (r'patch_embed\.(.+)', r'embeddings.\1'),
    (r'blocks\.(.+)', r'layer.\1'),
)
_HF_TRUNK = ('embeddings.', 'layers.', 'layernorm.')

Converted = tuple[State, list[str]]


@dataclass(frozen=True)
class EoMTNaming:
    """A code base's names.

    Attributes:
        label: What reports call it.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        convert: Tensors without the prefix to tensors under our names and the names not needed.
        may_be_delta: Whether the backbone may hold differences to the weights that it was trained from.
    """
    label: str
    anchors: tuple[str, ...]
    convert: Callable[[State], Converted]
    may_be_delta: bool = False


@dataclass(frozen=True)
class EoMTWeights:
    """A recognised EoMT checkpoint.

    Attributes:
        label: Whose names it uses.
        state: Tensors under our names.
        left: Names in the checkpoint that are not needed.
        is_delta: Whether the backbone's tensors are differences to the weights that it was trained from.
    """
    label: str
    state: State
    left: list[str]
    is_delta: bool = False


def read_eomt(state: State) -> EoMTWeights | None:
    """Recognise an EoMT checkpoint and give it our names; None for another model."""
    for naming in _NAMINGS:
        prefix = common_prefix(state, naming.anchors)
        if prefix is not None:
            inside, outside = split_prefix(state, prefix)
            converted, left = naming.convert(inside)
            return EoMTWeights(naming.label, converted, left + outside, naming.may_be_delta and _is_delta(inside))
    return None


def add_base(delta: State, base: State) -> State:
    """Backbone weights from differences and the weights that they refer to.

    The released EoMT-DINOv3 checkpoints are of this kind, because DINOv3's licence forbids to pass its weights on.
    Queries and heads are complete in them.

    Args:
        delta: Tensors of an EoMT under our names.
        base: Tensors of the backbone under timm's names.

    Raises:
        WeightsError: The base is another model.
    """
    complete = dict(delta)
    for name, difference in delta.items():
        if not name.startswith(TRUNK):
            continue
        start = base.get(name.removeprefix(TRUNK))
        if start is None and name.endswith(('.q_bias', '.v_bias')):
            continue  # timm drops DINOv3's biases where they are 0
        if start is None or start.shape != difference.shape:
            other = 'nothing' if start is None else format_shape(start.shape)
            raise WeightsError(f'{name.removeprefix(TRUNK)}: the checkpoint holds a difference of '
                               f'{format_shape(difference.shape)}, the base weights {other}; give as base the DINOv3 '
                               'weights that this EoMT was trained from')
        complete[name] = start.float() + difference.float()
    if 'attn_mask_probs' in delta:
        complete['attn_mask_probs'] = _complete_probs(delta['attn_mask_probs'])
    return complete


def _complete_probs(probs: Tensor) -> Tensor:
    """Whether blocks are masked: the authors' loader adds this buffer to a new model's 1, transformers' takes it as is.

    The released models are finished, so that -1 and 0 both say that no block is masked, as the authors evaluate them.
    """
    return probs + 1 if (probs < 0).any() else probs


def _is_delta(state: State) -> bool:
    """Differences leave nothing of the image normalisation, which is part of the authors' backbone."""
    mean = state.get('encoder.pixel_mean', torch.zeros(1))
    return not mean.any()


def _from_ours(state: State) -> Converted:
    return state, []


def _from_authors_dinov2(state: State) -> Converted:
    return rename(state, (*_AUTHORS_HEADS, (r'encoder\.backbone\.(.+)', TRUNK + r'\1')))


def _from_authors_dinov3(state: State) -> Converted:
    heads, left = rename(state, _AUTHORS_HEADS)
    trunk, heads = _take(heads, 'encoder.backbone.')
    trunk, _ = rename(trunk, _AUTHORS_DINOV3)
    return _join(trunk, heads, from_hf_dinov3, left)


def _from_hf(convert_trunk: Callable[[State, nn.Module | None], Converted]) -> Callable[[State], Converted]:
    def convert(state: State) -> Converted:
        trunk = {name: tensor for name, tensor in state.items() if name.startswith(_HF_TRUNK)}
        heads, left = rename({name: tensor for name, tensor in state.items() if name not in trunk}, _HF_HEADS)
        return _join(trunk, heads, convert_trunk, left)

    return convert


def _join(
    trunk: State,
    heads: State,
    convert_trunk: Callable[[State, nn.Module | None], Converted],
    left: list[str],
) -> Converted:
    trunk, trunk_left = convert_trunk(trunk, None)
    return {**{TRUNK + name: tensor for name, tensor in trunk.items()}, **heads}, left + trunk_left


def _take(state: State, prefix: str) -> tuple[State, State]:
    inside, outside = split_prefix(state, prefix)
    return inside, {name: state[name] for name in outside}


_NAMINGS = (
    EoMTNaming(OURS, ('query.weight', TRUNK + 'blocks.0.norm1.weight'), _from_ours),
    EoMTNaming("the authors' EoMT", ('q.weight', 'encoder.backbone.blocks.0.attn.qkv.weight'), _from_authors_dinov2),
    EoMTNaming("the authors' EoMT-DINOv3", ('q.weight', 'encoder.backbone.blocks.0.attention.q_proj.weight'),
               _from_authors_dinov3, may_be_delta=True),
    EoMTNaming('transformers EoMT', ('query.weight', 'embeddings.position_embeddings.weight'),
               _from_hf(from_hf_dinov2)),
    EoMTNaming('transformers EoMT-DINOv3', ('query.weight', 'embeddings.patch_embeddings.weight'),
               _from_hf(from_hf_dinov3)),
)

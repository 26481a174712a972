"""Names of LW-DETR's checkpoints, mapped to those of :class:`densevit.networks.detection.LWDETR`.

Known are the authors' (github.com/Atten4Vis/LW-DETR) and transformers'.
"""
from __future__ import annotations

import re

import torch

from ...networks.detection import LWDETR
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, fuse, rename, split_prefix
from ..translate import HeadAndBackbone, reads_head
from .queries import split_attention

_AUTHORS_ANCHORS = ('backbone.0.encoder.patch_embed.proj.weight', 'transformer.enc_output.0.weight')
_HF_ANCHORS = ('model.backbone.backbone.embeddings.projection.weight', 'model.enc_output.0.weight')
_AUTHORS_TRUNK, _HF_TRUNK = 'backbone.0.encoder.', 'model.backbone.backbone.'


def _mlp(theirs: str, ours: str, layers: int) -> tuple[Rule, ...]:
    return tuple((rf'{theirs}\.layers\.{index}\.(weight|bias)', rf'{ours}.{2 * index}.\g<{_groups(theirs) + 1}>')
                 for index in range(layers))


def _groups(pattern: str) -> int:
    return re.compile(pattern).groups


def _heads(proposals: str) -> tuple[Rule, ...]:
    """What both code bases call alike; ``proposals`` stands before the names of the first stage."""
    return (
        (rf'{proposals}enc_output\.(\d+)\.(.+)', r'proposals.\1.linear.\2'),
        (rf'{proposals}enc_output_norm\.(\d+)\.(.+)', r'proposals.\1.norm.\2'),
        (rf'{proposals}enc_out_class_embed\.(\d+)\.(.+)', r'proposals.\1.class_head.\2'),
        *_mlp(rf'{proposals}enc_out_bbox_embed\.(\d+)', r'proposals.\1.box_head', 3),
        *_mlp(rf'{proposals}decoder\.ref_point_head', 'position_head', 2),
        (r'class_embed\.(.+)', r'class_head.\1'),
        *_mlp('bbox_embed', 'box_head', 3),
        (r'(?:model\.)?query_feat\.weight', 'query_embed.weight'),
    )


_HF_LEVEL = r'model\.backbone\.projector\.scale_layers\.(\d+)\.'
_HF_LAYER = r'model\.decoder\.layers\.(\d+)\.'
_HF: tuple[Rule, ...] = (
    *_heads(r'model\.'),
    (r'model\.reference_point_embed\.weight', 'query_delta.weight'),
    (r'model\.decoder\.layernorm\.(.+)', r'norm.\1'),
    (_HF_LEVEL + r'sampling_layers\.(\d+)\.layers\.(.+)', r'projector.\1.resample.\2.\3'),
    (_HF_LEVEL + r'projector_layer\.conv1\.(.+)', r'projector.\1.fuse.split.\2'),
    (_HF_LEVEL + r'projector_layer\.conv2\.(.+)', r'projector.\1.fuse.join.\2'),
    (_HF_LEVEL + r'projector_layer\.bottlenecks\.(\d+)\.conv1\.(.+)', r'projector.\1.fuse.blocks.\2.0.\3'),
    (_HF_LEVEL + r'projector_layer\.bottlenecks\.(\d+)\.conv2\.(.+)', r'projector.\1.fuse.blocks.\2.1.\3'),
    (_HF_LEVEL + r'layer_norm\.(.+)', r'projector.\1.norm.\2'),
    (_HF_LAYER + r'self_attn\.o_proj\.(.+)', r'layers.\1.self_attn.attn.out_proj.\2'),
    (_HF_LAYER + r'self_attn\.([qkv]_proj\..+)', r'layers.\1.self_attn.attn.\2'),
    (_HF_LAYER + r'self_attn_layer_norm\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (_HF_LAYER + r'(cross_attn\..+)', r'layers.\1.\2'),
    (_HF_LAYER + r'cross_attn_layer_norm\.(.+)', r'layers.\1.norm.\2'),
    (_HF_LAYER + r'mlp\.fc(\d\..+)', r'layers.\1.ffn.linear\2'),
    (_HF_LAYER + r'layer_norm\.(.+)', r'layers.\1.ffn.norm.\2'),
)
_HF_BLOCK = r'encoder\.layer\.(\d+)\.'
_HF_ENCODER: tuple[Rule, ...] = (
    (r'embeddings\.position_embeddings', 'pos_embed'),
    (r'embeddings\.projection\.(.+)', r'patch_embed.proj.\1'),
    (_HF_BLOCK + r'gamma_(\d)', r'blocks.\1.ls\2.gamma'),
    (_HF_BLOCK + r'attention\.([qkv])_proj\.(.+)', r'blocks.\1.attn.\2.\3'),
    (_HF_BLOCK + r'attention\.o_proj\.(.+)', r'blocks.\1.attn.proj.\2'),
    (_HF_BLOCK + r'intermediate\.(.+)', r'blocks.\1.mlp.\2'),
    (_HF_BLOCK + r'layernorm_before\.(.+)', r'blocks.\1.norm1.\2'),
    (_HF_BLOCK + r'layernorm_after\.(.+)', r'blocks.\1.norm2.\2'),
)
_AUTHORS_LEVEL = r'backbone\.0\.projector\.stages\.(\d+)\.'
_AUTHORS_LAYER = r'transformer\.decoder\.layers\.(\d+)\.'
_AUTHORS: tuple[Rule, ...] = (
    *_heads(r'transformer\.'),
    (r'refpoint_embed\.weight', 'query_delta.weight'),
    (r'transformer\.decoder\.norm\.(.+)', r'norm.\1'),
    (r'backbone\.0\.projector\.stages_sampling\.(\d+)\.(\d+)\.(\d+)\.bn\.(.+)', r'projector.\1.resample.\2.\3.norm.\4'),
    (r'backbone\.0\.projector\.stages_sampling\.(\d+)\.(\d+)\.(.+)', r'projector.\1.resample.\2.\3'),
    *((_AUTHORS_LEVEL + rf'0\.{theirs}\.{part}\.(.+)', rf'projector.\1.fuse.{ours}.{new}.\g<{last}>')
      for theirs, ours, last in (('cv1', 'split', 2), ('cv2', 'join', 2), (r'm\.(\d+)\.cv1', r'blocks.\2.0', 3),
                                 (r'm\.(\d+)\.cv2', r'blocks.\2.1', 3))
      for part, new in (('conv', 'conv'), ('bn', 'norm'))),
    (_AUTHORS_LEVEL + r'1\.(.+)', r'projector.\1.norm.\2'),
    (_AUTHORS_LAYER + r'self_attn\.(.+)', r'layers.\1.self_attn.attn.\2'),
    (_AUTHORS_LAYER + r'norm1\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (_AUTHORS_LAYER + r'(cross_attn\..+)', r'layers.\1.\2'),
    (_AUTHORS_LAYER + r'norm2\.(.+)', r'layers.\1.norm.\2'),
    (_AUTHORS_LAYER + r'(linear\d\..+)', r'layers.\1.ffn.\2'),
    (_AUTHORS_LAYER + r'norm3\.(.+)', r'layers.\1.ffn.norm.\2'),
)
_AUTHORS_ENCODER: tuple[Rule, ...] = (
    (r'blocks\.(\d+)\.gamma_(\d)', r'blocks.\1.ls\2.gamma'),
    (r'blocks\.(\d+)\.attn\.([qv])_bias', r'blocks.\1.attn.\2.bias'),
)


@reads_head(LWDETR)
def read_lw_detr(state: State) -> HeadAndBackbone | None:
    """Recognise transformers' LW-DETR."""
    prefix = common_prefix(state, _HF_ANCHORS)
    if prefix is None:
        return None
    head, trunk, left = _apart(split_prefix(state, prefix), _HF_TRUNK, _HF)
    trunk, _ = rename(trunk, _HF_ENCODER)
    trunk = {**trunk, **{name: torch.zeros_like(trunk[name.replace('.k.', '.q.')]) for name in _key_biases(trunk)}}
    return HeadAndBackbone("transformers' LW-DETR", head, _as_timm(fuse(trunk, ('q', 'k', 'v'), 'qkv')), left)


@reads_head(LWDETR)
def read_authors_lw_detr(state: State) -> HeadAndBackbone | None:
    """Recognise the authors' LW-DETR."""
    prefix = common_prefix(state, _AUTHORS_ANCHORS)
    if prefix is None:
        return None
    head, trunk, left = _apart(split_prefix(state, prefix), _AUTHORS_TRUNK, _AUTHORS)
    trunk, _ = rename(trunk, _AUTHORS_ENCODER)
    trunk = {**trunk, **{name: torch.zeros_like(trunk[name.replace('.k.', '.q.')]) for name in _key_biases(trunk)}}
    biases = {name: tensor for name, tensor in trunk.items() if re.fullmatch(r'blocks\.\d+\.attn\.[qkv]\.bias', name)}
    weights = {name: tensor for name, tensor in trunk.items() if name not in biases}
    trunk = {**weights, **fuse(biases, ('q', 'k', 'v'), 'qkv')}
    return HeadAndBackbone("the authors' LW-DETR", split_attention(head), _as_timm(trunk), left)


def _apart(found: tuple[State, list[str]], trunk: str, rules: tuple[Rule, ...]) -> tuple[State, State, list[str]]:
    """Tensors of the head under our names, those of the trunk without their prefix, and names that are not needed."""
    inside, outside = found
    encoder, others = split_prefix(inside, trunk)
    head, unneeded = rename({name: inside[name] for name in others}, rules)
    return head, encoder, [*outside, *unneeded]


def _key_biases(trunk: State) -> list[str]:
    """CAE v2's keys have no bias, which softmax would not see."""
    return [name.replace('.q.', '.k.') for name in trunk if name.endswith('.attn.q.bias')]


def _as_timm(trunk: State) -> State:
    """Positions of the patches alone: the class token was left behind in pre-training."""
    positions = trunk['pos_embed']
    if positions.dim() != 3:
        raise WeightsError(f'pos_embed has {positions.dim()} dimensions and not 3; get the checkpoint again')
    return {**trunk, 'pos_embed': positions[:, 1:]}

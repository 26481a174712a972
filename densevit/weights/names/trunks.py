"""Names of plain ViT checkpoints, mapped to those of timm, which :class:`densevit.PlainViT` keeps.

timm reads the original names of DINOv2, DINOv3, DeiT III, MAE, EVA-02 and PE itself; the names of Hugging Face,
OpenMMLab and Segment Anything are mapped here.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
from timm.models import eva, vision_transformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ...backbones import PlainViT
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, fuse, rename, split_prefix
from ..translate import OURS, Translated, reads

# Classifiers, decoders and pre-training parts, which no dense backbone has.
_NOT_TRUNK = re.compile(
    r'(head|head_dist|lm_head|fc_norm|pre_logits|neck|attn_pool|projectors|local_cls_norm|decoder\w*|mask_token|'
    r'classifier|pooler)(\..+)?')
_HF_BLOCK = r'(?:model\.|encoder\.)?layers?\.(\d+)\.'
# Shared by transformers' EoMT and its backbones.
_HF_COMMON: tuple[Rule, ...] = (
    (r'embeddings\.cls_token', r'cls_token'),
    (r'embeddings\.register_tokens', r'reg_token'),
    (r'embeddings\.mask_token', None),
    (r'embeddings\.patch_embeddings\.(?:projection\.)?(weight|bias)', r'patch_embed.proj.\1'),
    (r'(?:layernorm|norm)\.(weight|bias)', r'norm.\1'),
    (_HF_BLOCK + r'(norm\d\..+)', r'blocks.\1.\2'),
)
HF_DINOV3: tuple[Rule, ...] = (
    *_HF_COMMON,
    (_HF_BLOCK + r'attention\.([qkv])_proj\.weight', r'blocks.\1.attn.\2.weight'),
    (_HF_BLOCK + r'attention\.([qkv])_proj\.bias', r'blocks.\1.attn.\2_bias'),
    (_HF_BLOCK + r'attention\.o_proj\.(.+)', r'blocks.\1.attn.proj.\2'),
    (_HF_BLOCK + r'layer_scale(\d)\.lambda1', r'blocks.\1.gamma_\2'),
    (_HF_BLOCK + r'mlp\.gate_proj\.(.+)', r'blocks.\1.mlp.fc1_g.\2'),
    (_HF_BLOCK + r'mlp\.up_proj\.(.+)', r'blocks.\1.mlp.fc1_x.\2'),
    (_HF_BLOCK + r'mlp\.down_proj\.(.+)', r'blocks.\1.mlp.fc2.\2'),
    (r'rope_embeddings\..+', None),
)
HF_DINOV2: tuple[Rule, ...] = (
    *_HF_COMMON,
    (r'embeddings\.position_embeddings(?:\.weight)?', r'pos_embed'),
    (_HF_BLOCK + r'attention\.([qkv])_proj\.(.+)', r'blocks.\1.attn.\2.\3'),
    (_HF_BLOCK + r'attention\.attention\.(q)uery\.(.+)', r'blocks.\1.attn.\2.\3'),
    (_HF_BLOCK + r'attention\.attention\.(k)ey\.(.+)', r'blocks.\1.attn.\2.\3'),
    (_HF_BLOCK + r'attention\.attention\.(v)alue\.(.+)', r'blocks.\1.attn.\2.\3'),
    (_HF_BLOCK + r'attention\.(?:out_proj|o_proj|output\.dense)\.(.+)', r'blocks.\1.attn.proj.\2'),
    (_HF_BLOCK + r'layer_scale(\d)\.lambda1', r'blocks.\1.ls\2.gamma'),
    (_HF_BLOCK + r'mlp\.(fc\d\..+)', r'blocks.\1.mlp.\2'),
    # A gated layer: two matrices in transformers 5, one with the gate first up to 4.57.
    (_HF_BLOCK + r'mlp\.(gate|up)_proj\.(.+)', r'blocks.\1.mlp.\2.\3'),
    (_HF_BLOCK + r'mlp\.weights_in\.(.+)', r'blocks.\1.mlp.fc1.\2'),
    (_HF_BLOCK + r'mlp\.(?:weights_out|down_proj)\.(.+)', r'blocks.\1.mlp.fc2.\2'),
    # Plain ViT and MAE.
    (_HF_BLOCK + r'layernorm_before\.(.+)', r'blocks.\1.norm1.\2'),
    (_HF_BLOCK + r'layernorm_after\.(.+)', r'blocks.\1.norm2.\2'),
    (_HF_BLOCK + r'intermediate\.dense\.(.+)', r'blocks.\1.mlp.fc1.\2'),
    (_HF_BLOCK + r'output\.dense\.(.+)', r'blocks.\1.mlp.fc2.\2'),
)
_HF_HYBRID: tuple[Rule, ...] = (  # of DPT: a BiT before the blocks
    (r'embeddings\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'embeddings\.backbone\.bit\.embedder\.convolution\.(.+)', r'patch_embed.backbone.stem.conv.\1'),
    (r'embeddings\.backbone\.bit\.embedder\.(norm\..+)', r'patch_embed.backbone.stem.\1'),
    (r'embeddings\.backbone\.bit\.encoder\.(stages\.\d+)\.layers\.(.+)', r'patch_embed.backbone.\1.blocks.\2'),
)
_HF_BEIT: tuple[Rule, ...] = (
    (_HF_BLOCK + r'attention\.(?:attention\.)?([qv])(?:uery|alue|_proj)\.bias', r'blocks.\1.attn.\2_bias'),
    (_HF_BLOCK + r'attention\.(?:attention\.)?relative_position_bias\.(.+)', r'blocks.\1.attn.\2'),
    (_HF_BLOCK + r'relative_position_bias\.(.+)', r'blocks.\1.attn.\2'),
    (r'(?:encoder\.)?relative_position_bias\.(.+)', r'rel_pos_bias.\1'),
    (_HF_BLOCK + r'lambda_(\d)', r'blocks.\1.gamma_\2'),
    *HF_DINOV2,
)
_OPENMMLAB: tuple[Rule, ...] = (
    (r'patch_embed\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'layers\.(\d+)\.ln(\d)\.(.+)', r'blocks.\1.norm\2.\3'),
    (r'layers\.(\d+)\.attn\.attn\.in_proj_(.+)', r'blocks.\1.attn.qkv.\2'),
    (r'layers\.(\d+)\.attn\.attn\.out_proj\.(.+)', r'blocks.\1.attn.proj.\2'),
    (r'layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', r'blocks.\1.mlp.fc1.\2'),
    (r'layers\.(\d+)\.ffn\.layers\.1\.(.+)', r'blocks.\1.mlp.fc2.\2'),
    (r'layers\.(\d+)\.(.+)', r'blocks.\1.\2'),
    (r'ln1\.(.+)', r'norm.\1'),
)
_SAM: tuple[Rule, ...] = ((r'(blocks\.\d+\.mlp)\.lin(\d\..+)', r'\1.fc\2'), )


@dataclass(frozen=True)
class TrunkNaming:
    """A code base's names.

    Attributes:
        label: What reports call it.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        convert: Tensors without the prefix, and the trunk, to tensors under timm's names and the names not needed.
    """
    label: str
    anchors: tuple[str, ...]
    convert: Callable[[State, nn.Module], tuple[State, list[str]]]


@reads(PlainViT)
def read_plain_vit(state: State, module: PlainViT) -> Translated | None:
    """Recognise the checkpoint of a plain ViT."""
    found = read_into_trunk(state, module.trunk, 'trunk.')
    if found is None or any('.rel_pos_' in name for name in found.state):
        return found
    # A plain ViT for a trunk of SAM's form: relative positions, which begin with zeros, are learned.
    relative = (f'trunk.blocks.{index}.attn.rel_pos_' for index in range(module.depth))
    return replace(found, unfilled=(*found.unfilled, *relative))


def read_into_trunk(state: State, trunk: nn.Module, prefix: str) -> Translated | None:
    """A plain ViT's checkpoint for a timm trunk that has a prefix in the model; None for an unknown naming."""
    found = read_trunk(state, trunk)
    if found is None:
        return None
    naming, tensors, left = found
    return Translated(naming, {prefix + name: tensor for name, tensor in tensors.items()}, left)


def read_trunk(state: State, trunk: nn.Module) -> tuple[str, State, list[str]] | None:
    """Recognise a backbone's checkpoint and give it timm's names.

    Returns:
        The naming's label, the renamed tensors and the names that no backbone needs; None for an unknown naming.
    """
    # Official checkpoints may have blocks in chunks; the blocks of a convolutional stem are in stages, which stay.
    state = {re.sub(r'^((?!.*patch_embed\.).*\bblocks)\.\d+\.(\d+)\.', r'\1.\2.', name): tensor
             for name, tensor in state.items()}
    for naming in _NAMINGS:
        prefix = common_prefix(state, naming.anchors)
        if prefix is not None:
            inside, outside = split_prefix(state, prefix)
            converted, left = naming.convert(inside, trunk)
            converted = _final_norm(converted)
            left += [name for name in converted if _NOT_TRUNK.fullmatch(name)]
            converted = {name: tensor for name, tensor in converted.items() if not _NOT_TRUNK.fullmatch(name)}
            return naming.label, converted, [*left, *outside]
    return None


def from_hf_dinov3(state: State, trunk: nn.Module | None = None) -> tuple[State, list[str]]:
    """transformers' DINOv3 to timm's ``Eva``."""
    renamed, left = rename(state, HF_DINOV3)
    renamed = fuse(renamed, ('q', 'k', 'v'), 'qkv')
    if not any('.mlp.fc1_g.' in name for name in renamed):  # no gate: a plain first layer
        renamed = {name.replace('.mlp.fc1_x.', '.mlp.fc1.'): tensor for name, tensor in renamed.items()}
    return renamed, left


def from_hf_dinov2(state: State, trunk: nn.Module | None = None) -> tuple[State, list[str]]:
    """transformers' DINOv2, ViT and MAE to timm's ``VisionTransformer``."""
    renamed, left = rename(state, HF_DINOV2)
    renamed = fuse(fuse(renamed, ('q', 'k', 'v'), 'qkv'), ('gate', 'up'), 'fc1')
    pos_embed = renamed['pos_embed']
    if pos_embed.dim() == 2:  # EoMT's embedding of the patches alone
        renamed['pos_embed'] = pos_embed.unsqueeze(0)
    elif 'reg_token' in renamed and 'cls_token' in renamed:
        # DINOv2 with registers: timm keeps the class token and its position as their sum
        renamed['cls_token'] = renamed['cls_token'] + pos_embed[:, :1]
        renamed['pos_embed'] = pos_embed[:, 1:]
    return renamed, left


def _from_hf_hybrid(state: State, trunk: nn.Module) -> tuple[State, list[str]]:
    renamed, _ = rename(state, _HF_HYBRID)
    return from_hf_dinov2(renamed)


def from_hf_beit(state: State, trunk: nn.Module | None = None) -> tuple[State, list[str]]:
    """transformers' BEiT to timm's ``Beit``."""
    renamed, left = rename(state, _HF_BEIT)
    return fuse(renamed, ('q', 'k', 'v'), 'qkv'), left


def _from_ours(state: State, trunk: nn.Module) -> tuple[State, list[str]]:
    inside, outside = split_prefix(state, 'trunk.')
    return inside, outside


def _from_openmmlab(state: State, trunk: nn.Module) -> tuple[State, list[str]]:
    renamed, left = rename(state, _OPENMMLAB)
    weight = renamed['patch_embed.proj.weight']
    return {'patch_embed.proj.bias': weight.new_zeros(len(weight)), **renamed}, left  # mmsegmentation 1 has none


def _from_sam(state: State, trunk: nn.Module) -> tuple[State, list[str]]:
    return rename(state, _SAM)


def _from_timm(state: State, trunk: nn.Module) -> tuple[State, list[str]]:
    """timm's own reading of original names; resizing is left to :mod:`densevit.weights.fitting`, which reports it."""
    state = dict(state)
    mask_token = state.pop('mask_token', None)  # would make timm take EVA's final norm for a classifier's
    sizes = _SizesOf(state)
    try:
        if isinstance(trunk, Eva):
            state = eva.checkpoint_filter_fn(state, sizes)
        elif isinstance(trunk, VisionTransformer):
            if 'register_tokens' in state or 'blocks.0.mlp.w12.weight' in state:
                state['mask_token'] = torch.empty(0) if mask_token is None else mask_token  # timm's sign of DINOv2
            state = vision_transformer.checkpoint_filter_fn(state, sizes, adapt_layer_scale=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(f'the checkpoint is incomplete ({error}); get it again') from error
    return state, [] if mask_token is None else ['mask_token']


class _SizesOf:
    """Stands for a model whose sizes are those of the checkpoint, so that timm renames and resizes nothing."""
    pos_embed = None
    head = None

    def __init__(self, state: State) -> None:
        weight = state.get('patch_embed.proj.weight')
        self.patch_embed = SimpleNamespace(proj=SimpleNamespace(weight=weight))

    def get_parameter(self, name: str) -> None:
        """Every bias is wanted: whether the model has it, and what follows if not, is decided later."""


def _final_norm(state: State) -> State:
    """A norm that timm moved behind the pooling of a classifier is the final norm of a dense backbone."""
    if 'norm.weight' in state or 'fc_norm.weight' not in state:
        return state
    return {re.sub(r'^fc_norm\.', 'norm.', name): tensor for name, tensor in state.items()}


_NAMINGS = (
    TrunkNaming(OURS, ('trunk.patch_embed.proj.weight', 'trunk.blocks.0.norm1.weight'), _from_ours),
    TrunkNaming('transformers DINOv3', ('norm.weight', 'embeddings.patch_embeddings.weight'), from_hf_dinov3),
    TrunkNaming('transformers BEiT', ('embeddings.patch_embeddings.projection.weight', 'layers.0.lambda_1'),
                from_hf_beit),
    TrunkNaming('transformers BEiT', ('embeddings.patch_embeddings.projection.weight', 'encoder.layer.0.lambda_1'),
                from_hf_beit),
    TrunkNaming('transformers ViT', ('embeddings.position_embeddings', 'embeddings.patch_embeddings.projection.weight'),
                from_hf_dinov2),
    TrunkNaming('transformers hybrid ViT', ('embeddings.position_embeddings', 'embeddings.projection.weight'),
                _from_hf_hybrid),
    TrunkNaming('OpenMMLab ViT', ('patch_embed.projection.weight', 'layers.0.ln1.weight'), _from_openmmlab),
    TrunkNaming('Segment Anything', ('patch_embed.proj.weight', 'blocks.0.mlp.lin1.weight'), _from_sam),
    TrunkNaming('Perception Encoder', ('conv1.weight', 'transformer.resblocks.0.ln_1.weight'), _from_timm),
    TrunkNaming('DINOv3', ('storage_tokens', 'patch_embed.proj.weight'), _from_timm),
    TrunkNaming('DINOv2', ('register_tokens', 'patch_embed.proj.weight'), _from_timm),
    TrunkNaming('DINOv2', ('mask_token', 'pos_embed', 'blocks.0.ls1.gamma'), _from_timm),
    TrunkNaming('MAE', ('decoder_pos_embed', 'patch_embed.proj.weight'), _from_timm),
    TrunkNaming('DeiT III', ('pos_embed', 'blocks.0.attn.qkv.bias', 'blocks.0.gamma_1'), _from_timm),
    TrunkNaming('timm', ('patch_embed.proj.weight', 'blocks.0.norm1.weight'), _from_timm),
)

"""Names of checkpoints for :class:`densevit.Hiera` and :class:`densevit.HieraDet`.

Read are the names of timm, which both classes keep, of Segment Anything 2 (the whole model or its trunk), of Hiera's
authors (classifiers and masked autoencoders), and of transformers. Positions of another size or form are brought to
those of the module (:class:`densevit.backbones.hiera_positions.PositionForm`).
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from ...backbones import Hiera, HieraDet
from ...backbones.hiera import plain_to_map
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, norms_beside, rename, split_prefix, unfilled_norms
from ..translate import Translated, reads

_TRUNK = 'trunk.'
_BLOCK = re.compile(r'blocks\.(\d+)\..+')
_HF_LAYER = re.compile(r'encoder\.stages\.(\d+)\.layers\.(\d+)\.(.+)')
# Classifiers, norms behind the last stage, and the decoder of a masked autoencoder.
_NOT_TRUNK = re.compile(
    r'(head|norm|encoder_norm|decoder\w*|mask_token|multi_scale_fusion_heads|pooler|layernorm)(\..+)?')
_SAM2: tuple[Rule, ...] = (
    (r'(blocks\.\d+\.mlp)\.layers\.0\.(.+)', r'\1.fc1.\2'),
    (r'(blocks\.\d+\.mlp)\.layers\.1\.(.+)', r'\1.fc2.\2'),
)
_HF_SAM2: tuple[Rule, ...] = (
    (r'patch_embed\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'(blocks\.\d+)\.layer_norm(\d\..+)', r'\1.norm\2'),
    (r'(blocks\.\d+\.mlp)\.proj_in\.(.+)', r'\1.fc1.\2'),
    (r'(blocks\.\d+\.mlp)\.proj_out\.(.+)', r'\1.fc2.\2'),
)
_HIERA: tuple[Rule, ...] = ((r'pos_embed_abs', r'pos_embed'), )
_HF_HIERA: tuple[Rule, ...] = (
    (r'embeddings\.position_embeddings', r'pos_embed'),
    (r'embeddings\.patch_embeddings\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'(blocks\.\d+)\.layernorm_before\.(.+)', r'\1.norm1.\2'),
    (r'(blocks\.\d+)\.layernorm_after\.(.+)', r'\1.norm2.\2'),
)


@dataclass(frozen=True)
class _Naming:
    """A code base's names: names that only it has together, and what becomes of them."""
    label: str
    anchors: tuple[str, ...]
    rules: tuple[Rule, ...]


_HIERAS = (
    _Naming('transformers Hiera', ('embeddings.patch_embeddings.projection.weight', 'blocks.0.layernorm_before.weight'),
            _HF_HIERA),
    _Naming('Hiera MAE', ('decoder_pos_embed', 'patch_embed.proj.weight'), _HIERA),
    _Naming('Hiera', ('head.projection.weight', 'patch_embed.proj.weight'), _HIERA),
    _Naming('timm', ('patch_embed.proj.weight', 'blocks.0.mlp.fc1.weight'), _HIERA),
)
# HieraDet starts from the weights of a Hiera: SAM 2 did so.
_SAM2S = (
    _Naming('Segment Anything 2', ('patch_embed.proj.weight', 'blocks.0.mlp.layers.0.weight'), _SAM2),
    _Naming('transformers SAM 2', ('patch_embed.projection.weight', 'blocks.0.mlp.proj_in.weight'), _HF_SAM2),
)


@reads(Hiera, HieraDet)
def read_hiera(state: State, module: Hiera | HieraDet) -> Translated | None:
    """Recognise a checkpoint and give it the names, the stages and the positions of the module.

    Raises:
        WeightsError: Its positions cannot be brought to those of the module.
    """
    state = _number_layers(state)
    for naming in (*_SAM2S, *_HIERAS) if isinstance(module, HieraDet) else _HIERAS:
        prefix = common_prefix(state, naming.anchors)
        if prefix is None:
            continue
        inside, outside = split_prefix(state, prefix)
        renamed, left = rename(inside, naming.rules)
        norms = norms_beside(state, prefix) if module.norms else {}
        outside = [name for name in outside if name.removeprefix(prefix.removesuffix(_TRUNK)) not in norms]
        left += outside + [name for name in renamed if _is_left(name, module)]
        renamed = {name: tensor for name, tensor in renamed.items() if not _is_left(name, module)}
        renamed, changed = _fit_positions(renamed, module)
        label = f'{naming.label} (positions {changed})' if changed else naming.label
        result = {**{_TRUNK + name: tensor for name, tensor in renamed.items()}, **norms}
        return Translated(label, result, left, unfilled=unfilled_norms(result))
    return None


def _number_layers(state: State) -> State:
    """transformers counts Hiera's layers anew in each stage."""
    places = sorted({(int(match[1]), int(match[2])) for name in state if (match := _HF_LAYER.search(name))})
    index = {place: number for number, place in enumerate(places)}
    return {_HF_LAYER.sub(lambda match: f'blocks.{index[int(match[1]), int(match[2])]}.{match[3]}', name): tensor
            for name, tensor in state.items()}


def _is_left(name: str, module: Hiera | HieraDet) -> bool:
    match = _BLOCK.fullmatch(name)
    return bool(_NOT_TRUNK.fullmatch(name)) or (match is not None and int(match[1]) >= module.depth)


def _fit_positions(state: State, module: Hiera | HieraDet) -> tuple[State, str]:
    """The tensors with positions in the module's form, and what was done to them, '' for nothing."""
    name = 'pos_embed_window' if isinstance(module, HieraDet) else 'pos_embed_win'
    if 'pos_embed' not in state:
        return state, ''
    form, window = module.positions, state.get(name)
    try:
        embed = _to_map(state['pos_embed'], module)
        new, new_window = form.fit(embed, window)
    except ValueError as error:
        raise WeightsError(f'its positions do not fit: {error}') from error
    result = {key: tensor for key, tensor in state.items() if key != name}
    is_sequence = isinstance(module, Hiera) and new_window is None
    result['pos_embed'] = new.flatten(2).transpose(1, 2) if is_sequence else new
    if new_window is not None:
        result[name] = new_window
    if (window is None) != (new_window is None):
        return result, 'split into a global and a window part' if window is None else 'summed up'
    is_same = new.shape == embed.shape and (window is None or window.shape == new_window.shape)
    return result, '' if is_same else 'resized'


def _to_map(embed: Tensor, module: Hiera | HieraDet) -> Tensor:
    """Positions (1, h * w, C) or (1, C, h, w) as the latter; a sequence as long as the module's has its grid."""
    if embed.dim() == 4:
        return embed
    height, width = module.positions.grid
    return plain_to_map(embed, (height, width) if height * width == embed.shape[1] else None)

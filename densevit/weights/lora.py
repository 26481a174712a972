"""Low-rank adapters (LoRA, arXiv:2106.09685) in checkpoints.

Beside a layer's weight W of shape (out, in) a checkpoint holds A and B of its adapter, ``lora_A.weight`` (r, in) and
``lora_B.weight`` (out, r) as peft names them, and ``lora_scaling``, a number s. The layer computes (W + s B A) x, so
that nothing else is needed to merge them.
"""
from __future__ import annotations

import re

import torch

from .load_report import WeightsError
from .reading import State
from .renaming import common_prefix

_PARTS = ('lora_A.weight', 'lora_B.weight', 'lora_scaling')
_ADAPTER = re.compile(r'((?:.+\.)?)(lora_A\.weight|lora_B\.weight|lora_scaling)')


def split_adapters(state: State) -> tuple[State, State]:
    """What a model has without adapters, and the tensors of its adapters."""
    adapters = {name: tensor for name, tensor in state.items() if _ADAPTER.fullmatch(name)}
    return {name: tensor for name, tensor in state.items() if name not in adapters}, adapters


def merge_adapters(state: State) -> State:
    """The weights of a model without adapters that computes the same.

    Products are those of single precision, and each weight keeps its type.

    Raises:
        WeightsError: A part of an adapter is missing, or does not fit its weight.
    """
    merged, adapters = split_adapters(state)
    for layer in dict.fromkeys(_ADAPTER.fullmatch(name)[1] for name in adapters):
        names = [f'{layer}{part}' for part in _PARTS]
        weight = merged.get(f'{layer}weight')
        if weight is None or any(name not in adapters for name in names):
            lacking = next(name for name in (f'{layer}weight', *names) if name not in state)
            raise WeightsError(f'it holds a part of an adapter (LoRA) but no {lacking}; it is incomplete, get it again')
        down, up, scaling = (adapters[name].float() for name in names)
        if up.dim() != 2 or down.dim() != 2 or (up.shape[0], down.shape[1]) != tuple(weight.shape) or (
                up.shape[1] != down.shape[0] or scaling.numel() != 1):
            raise WeightsError(f'the adapter (LoRA) of {layer}weight does not fit it; get the checkpoint again')
        merged[f'{layer}weight'] = (weight.float() + scaling * (up @ down)).to(weight.dtype)
    return merged


def place_adapters(state: State, own: State) -> tuple[State, State]:
    """A checkpoint for a model with adapters, or without.

    Adapters of the same layers, rank and scaling stay adapters. Others are merged, and those of the model begin anew:
    with B = 0 the model computes what the checkpoint's did.

    Args:
        state: The checkpoint's tensors, under any names.
        own: The model's own.

    Returns:
        The checkpoint without adapters, and the values of the model's adapters under their names in it that are known.

    Raises:
        WeightsError: It has the model's adapters in several places; or see :func:`merge_adapters`.
    """
    plain, adapters = split_adapters(state)
    _, places = split_adapters(own)
    if not adapters:
        return plain, _begun_anew(places)
    prefix = common_prefix(adapters, list(places)) if places else None
    if prefix is not None and all(_is_alike(adapters[prefix + name], tensor) for name, tensor in places.items()):
        kept = {name: adapters.pop(prefix + name) for name in places}
        return merge_adapters({**plain, **adapters}), kept
    return merge_adapters(state), _begun_anew(places)


def _is_alike(theirs: torch.Tensor, own: torch.Tensor) -> bool:
    return theirs.shape == own.shape and (theirs.numel() != 1 or torch.equal(theirs.float(), own.float().cpu()))


def _begun_anew(places: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in places.items() if name.endswith('lora_B.weight')}

"""Tools for the tables that map one code base's parameter names to another's."""
from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from .load_report import WeightsError, format_shape
from .reading import State

# A pattern that matches a whole name, and the new name; None for a tensor that is not needed.
Rule = tuple[str, str | None]


def rename(state: State, rules: Sequence[Rule]) -> tuple[State, list[str]]:
    """Apply to each name the first rule that matches it; names that none matches stay.

    Returns:
        The renamed tensors and the old names of those that are not needed.
    """
    compiled = [(re.compile(pattern), new) for pattern, new in rules]
    renamed, left = {}, []
    for name, tensor in state.items():
        match, new = next(((match, new) for pattern, new in compiled if (match := pattern.fullmatch(name))),
                          (None, None))
        if match is None:
            renamed[name] = tensor
        elif new is None:
            left.append(name)
        else:
            renamed[match.expand(new)] = tensor
    return renamed, left


def fuse(state: State, parts: Sequence[str], fused: str) -> State:
    """Join linear layers that read the same input: ``attn.{q,k,v}.weight`` to ``attn.qkv.weight``, in this order.

    Args:
        state: Tensors by name.
        parts: The layers' names (``'q', 'k', 'v'``), between a module's name and ``weight`` or ``bias``.
        fused: The name of the joined layer.

    Raises:
        WeightsError: Some of the layers are there and some are not, or they read different inputs.
    """
    pattern = re.compile(rf'(.+\.)({"|".join(parts)})\.(weight|bias)')
    groups, result = {}, {}
    for name, tensor in state.items():
        if match := pattern.fullmatch(name):
            groups.setdefault((match[1], match[3]), {})[match[2]] = tensor
        else:
            result[name] = tensor
    for (module, kind), tensors in groups.items():
        if lacking := [part for part in parts if part not in tensors]:
            raise WeightsError(f'the checkpoint has {module}{next(iter(tensors))}.{kind} but no '
                               f'{module}{lacking[0]}.{kind}; it is incomplete, get it again')
        if len({tensor.shape[1:] for tensor in tensors.values()}) > 1:
            sizes = ', '.join(f'{part} {format_shape(tensors[part].shape)}' for part in parts)
            raise WeightsError(f'{module}{fused}.{kind} joins layers of different inputs: {sizes}')
        result[f'{module}{fused}.{kind}'] = torch.cat([tensors[part] for part in parts])
    return result


def common_prefix(state: State, anchors: Sequence[str]) -> str | None:
    """What stands before all of ``anchors`` in the names, ``''`` for nothing; None if they do not occur together.

    Raises:
        WeightsError: They occur together more than once.
    """
    last = anchors[-1]
    places = (name.removesuffix(last) for name in state if name == last or name.endswith(f'.{last}'))
    return only_prefix([prefix for prefix in places if all(prefix + anchor in state for anchor in anchors)])


def only_prefix(prefixes: Sequence[str]) -> str | None:
    """The one prefix under which there is a model; None if there is none.

    Raises:
        WeightsError: There are several, as in a checkpoint of a student and its teacher, and which one is wanted is not
            known.
    """
    if len(prefixes) > 1:
        raise WeightsError(f'it holds {len(prefixes)} of these networks, under the names '
                           f"{', '.join(f'{prefix}*' for prefix in prefixes)}; choose one, such as "
                           f"prefix='{prefixes[-1]}'")
    return prefixes[0] if prefixes else None


def split_prefix(state: State, prefix: str) -> tuple[State, list[str]]:
    """The tensors under a prefix, by their names below it, and the names that are elsewhere."""
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return inside, [name for name in state if not name.startswith(prefix)]


def unfilled_norms(state: State) -> tuple[str, ...]:
    """Beginnings of the names that a checkpoint without norms of the returned maps, under our names, does not fill."""
    return () if any(name.startswith('norms.') for name in state) else ('norms.', )


def norms_beside(state: State, trunk: str) -> State:
    """The norms of the returned maps, by their names in the model, which a checkpoint of ours has beside its trunk.

    Args:
        state: The whole checkpoint.
        trunk: What stands before the trunk's names in it; ends with ``trunk.`` in a checkpoint of ours.
    """
    base = trunk.removesuffix('trunk.')
    return {} if base == trunk else {name.removeprefix(base): tensor for name, tensor in state.items()
                                     if name.startswith(f'{base}norms.')}

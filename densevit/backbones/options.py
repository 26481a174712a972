"""Options that several backbones have: what values they may take, and how they are read."""
from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Literal

from ..layers.levels import Grid

PosEmbed = Literal['interpolate', 'tile', 'absolute_window']


def as_grid(side: int | Sequence[int] | None, option: str) -> Grid | None:
    """The sides (h, w) of a grid, which may be given by one number; None stays None.

    Raises:
        ValueError: It is neither.
    """
    if side is None:
        return None
    grid = (side, side) if _is_int(side) else side
    if not isinstance(grid, Sequence) or len(grid) != 2 or not all(_is_int(n) and n > 0 for n in grid):
        raise ValueError(f'{option} is (height, width) in tokens, or one number for both, not {side!r}')
    return grid[0], grid[1]


def as_indices(indices: int | Sequence[int], option: str) -> tuple[int, ...]:
    """Several indices, or one.

    Raises:
        ValueError: They are something else.
    """
    if _is_int(indices):
        return (indices, )
    if not isinstance(indices, Sequence) or not all(map(_is_int, indices)):
        raise ValueError(f'{option} holds indices, such as (0, 1), not {indices!r}')
    return tuple(indices)


def pick(
    indices: int | Sequence[int],
    count: int,
    there_are: str,
    *,
    option: str = 'out_indices',
    among: Container[int] | None = None,
) -> tuple[int, ...]:
    """Indices from 0 to ``count`` - 1, negative ones being counted from the end.

    Args:
        indices: One or several.
        count: How many things there are.
        there_are: These things, in words of the error: ``'blocks 0 to 11'``.
        option: The option that holds the indices.
        among: Those that can be picked; None for all.

    Raises:
        ValueError: There is no such thing.
    """
    given = as_indices(indices, option)
    for index in given:
        if not -count <= index < count or (among is not None and index % count not in among):
            raise ValueError(f'{option} holds {index}, but there are {there_are}')
    return tuple(index % count for index in given)


def pick_levels(
    out_indices: int | Sequence[int],
    count: int,
    there_are: str,
    among: Container[int] | None = None,
) -> tuple[int, ...]:
    """The levels of a pyramid that :func:`pick` finds for ``out_indices``.

    Raises:
        ValueError: There is no such level, or they are not ascending.
    """
    levels = pick(out_indices, count, there_are, among=among)
    if not levels or list(levels) != sorted(set(levels)):
        raise ValueError(f'out_indices={out_indices}: give each of {there_are} at most once, finest first, and at '
                         'least one')
    return levels


def checked_frozen_stages(frozen_stages: int, last: int, stages: str) -> int:
    """``frozen_stages`` of a backbone that counts up to ``last``.

    Args:
        stages: What it counts, in words of the error.

    Raises:
        ValueError: It is no number from -1 to ``last``.
    """
    if not _is_int(frozen_stages) or not -1 <= frozen_stages <= last:
        raise ValueError(f'frozen_stages={frozen_stages!r}: choose from -1 (all learns), 0 (the embedding or stem is '
                         f'frozen) and 1 to {last} ({stages})')
    return frozen_stages


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

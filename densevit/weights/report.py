"""What loading a checkpoint did, and how it is refused."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Shape = tuple[int, ...]


class WeightsError(ValueError):
    """A checkpoint cannot be read or does not fit; the message names the remedy. The model is as it was."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """No weights where they were looked for; the message says where to put them."""


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor.

    Attributes:
        source: The file, or what else the tensors came from.
        naming: Whose names the checkpoint uses.
        loaded: Names in the model that were filled from the checkpoint, the resized ones among them.
        resized: Of those, the ones that were resized: name to the shape in the checkpoint and the shape in the model.
        zeroed: Query and value biases set to 0 because the checkpoint's attention has none.
        left: Names in the checkpoint that the model has no use for.
        missing: Names in the model that keep the values they had.
    """
    source: str
    naming: str
    loaded: tuple[str, ...] = ()
    resized: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    zeroed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f'{self.source} ({self.naming} names): {len(self.loaded)} tensors loaded']
        if self.resized:
            sizes = (f'{name} {format_shape(old)} -> {format_shape(new)}' for name, (old, new) in self.resized.items())
            lines.append(f'  resized: {", ".join(sizes)}')
        for title in ('zeroed', 'left', 'missing'):
            if names := getattr(self, title):
                lines.append(f'  {title}: {shorten(names)}')
        return '\n'.join(lines)


def format_shape(shape: Sequence[int]) -> str:
    """(1024, 3, 16, 16) as 1024x3x16x16."""
    return 'x'.join(map(str, shape)) or 'scalar'


def shorten(names: Sequence[str], limit: int = 6) -> str:
    """The first names and how many more there are."""
    rest = len(names) - limit
    return ', '.join(names[:limit]) + (f' and {rest} more' if rest > 0 else '')

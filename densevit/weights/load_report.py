"""What loading a checkpoint did, and how it is refused."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import shorten

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
        resized: The loaded ones that were resized: name to the shape in the checkpoint and the shape in the model.
        zeroed: Names in the model of what was set to 0: query and value biases, if the checkpoint's attention has none,
            and global positions, if it has those of a window alone.
        left: Names in the checkpoint that the model has no use for.
        missing: Names in the model that keep the values they had.
        kept: The missing ones that no checkpoint of this kind holds: an adapter's where it is a plain ViT, the norms
            of maps where it is a classifier, a class head that was not to be loaded.
        meta: What the checkpoint says of itself, see :class:`densevit.weights.reading.Checkpoint`. It comes from the
            file as it is: whoever uses it checks it.
    """
    source: str
    naming: str
    loaded: tuple[str, ...] = ()
    resized: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    zeroed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        lines = [f'{self.source} ({self.naming} names): {len(self.loaded)} tensors loaded']
        if self.resized:
            sizes = (f'{name} {format_shape(old)} -> {format_shape(new)}' for name, (old, new) in self.resized.items())
            lines.append(f'  resized: {", ".join(sizes)}')
        kept = set(self.kept)
        missing = tuple(name for name in self.missing if name not in kept)
        for title, names in (('zeroed', self.zeroed), ('left', self.left), ('missing', missing),
                             ('kept as initialised', self.kept)):
            if names:
                lines.append(f'  {title}: {shorten(names)}')
        return '\n'.join(lines)


def format_shape(shape: Sequence[int]) -> str:
    """(1024, 3, 16, 16) as 1024x3x16x16."""
    return 'x'.join(map(str, shape)) or 'scalar'

"""What a prediction gives, whatever the task: a picture, its notes, and what the task adds."""
from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from io import BytesIO
from math import sqrt
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..errors import printable
from ..visualization.palette import Color
from .files import Artifact, json_text, save_artifacts

_NOTEBOOK_PIXELS = 2**20  # a page of a notebook holds many pictures


class Row(NamedTuple):
    """A line of a table.

    Attributes:
        cells: The texts, one for each column.
        color: RGB behind the first of them; None for none.
    """

    cells: tuple[str, ...]
    color: Color | None = None


class Table(NamedTuple):
    """A result in a few lines of text, as the command line prints it.

    Attributes:
        columns: The heads; the first column is text, the others are numbers.
        empty: What is said where there are no rows.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: str = 'nothing found'


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a model predicted for one picture; each task derives its own.

    A derived result adds the fields of its task, under the names that all tasks share: ``boxes`` (N, 4) float32
    ``x0, y0, x1, y1`` in pixels, ``masks`` (N, H, W) bool, ``labels`` (N,) int64, ``scores`` (N,) float32,
    ``semantic`` (H, W) int64, ``depth`` (H, W) float32 in metres, ``restored`` (H', W', 3) uint8 or uint16,
    ``alpha`` (H, W) float32 in [0, 1]. It has the task's name as ``task``, a field or an attribute of the class. It
    defines `draw` and `table`, and extends `artifacts` and `to_dict`.

    Attributes:
        image: (H, W, 3) uint8, RGB, the picture.
        source: The file that was read, if it was a file.
        notes: What a user should know about this result, one line each: that weights are random, that the picture was
            shrunk, that its colours are doubtful.
    """

    image: np.ndarray
    source: Path | None = field(default=None, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[:2]

    def draw(self, **options: Any) -> np.ndarray:
        """The result as a picture for people: (H', W', 3) uint8, RGB."""
        raise NotImplementedError

    def table(self) -> Table:
        """The result in a few lines of text."""
        raise NotImplementedError

    def artifacts(self, **options: Any) -> list[Artifact]:
        """What `save` writes, each made when it is written; the first is the picture of `draw`, named ``''``.

        The keyword arguments are the options of `save`.
        """
        return [Artifact('', partial(self.draw, **options))]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, in types that JSON knows."""
        height, width = self.image_size
        return dict(
            generator='densevit', source=None if self.source is None else str(self.source), task=self.task,
            image_size=dict(height=height, width=width), notes=list(self.notes))

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as text that is valid UTF-8."""
        return json_text(self.to_dict(), indent)

    def save(self, path: str | PathLike, *, json: bool = False, overwrite: bool = False, **options: Any) -> list[Path]:
        """Write the picture of `draw` and what else the options ask for beside it.

        Args:
            path: The picture's file, which may be an earlier result of any picture; or an existing folder, where it
                takes the source's name and replaces earlier results of that source alone. A suffix that cannot be
                written (``.gif``, none) gets ``.png`` added; of a name of more than 239 bytes the end becomes a hash.
            json: Write ``<name>.json``, `to_dict`. ``<name>`` is the picture's with its suffix: ``a.jpg.json``.
            overwrite: Also replace files that were not written by this function. The source is never replaced.
            options: Those of `artifacts`.

        Returns:
            The files written, the picture first.

        Raises:
            OutputError: A file exists and is not ours or of another picture, is the source, or cannot be written.
            TypeError: The task has no such option; the message names those that there are.
        """
        known = [name for name, parameter in signature(self.artifacts).parameters.items()
                 if parameter.kind is parameter.KEYWORD_ONLY]
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f'{type(self).__name__}.save has no option {unknown[0]!r}: choose of '
                            f'{", ".join((*known, "json", "overwrite"))}')
        picture, *others = self.artifacts(**options)
        files = [picture, *[Artifact('.json', self.to_dict)] * json, *others]
        return save_artifacts(files, path, self.source, overwrite)

    def _repr_png_(self) -> bytes:
        """`draw`, shrunk to a size for notebooks, as PNG."""
        picture = Image.fromarray(self.draw())
        scale = sqrt(_NOTEBOOK_PIXELS / (picture.width * picture.height))
        if scale < 1:
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            picture = picture.resize(size, Image.Resampling.BOX)
        buffer = BytesIO()
        picture.save(buffer, 'PNG')
        return buffer.getvalue()

    def __repr__(self) -> str:
        height, width = self.image_size
        return f'{type(self).__name__}({height}x{width}{self.source and ", " + printable(self.source) or ""})'

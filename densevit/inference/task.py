"""What `predict` asks of a task."""
from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from ..visualization.palette import Color

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.structures import BaseDataElement
    from torch import nn

    from .canvas import Canvas
    from .result import Result

TILE_OPTIONS = ('tiles', 'overlap', 'whole_picture')  # of `predict`, for every task that merges tiles


class PredictionError(RuntimeError):
    """A model gave nothing that can be shown; the message is one line and says what to do about it."""


class Argument(NamedTuple):
    """An argument of the command line.

    Tasks that have the same argument say the same of it: it is shown once.

    Attributes:
        flag: ``'--min-score'``; an option of that name, ``min_score``, is given on where a user has given it.
        of: Whose option it is, that of `predict` or that of `Result.save`.
        settings: What ``argparse`` takes; a ``dest`` names the option where the flag does not.
    """

    flag: str
    of: Literal['predict', 'save']
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """What a prediction is asked for; the same for all pictures of a call of `predict`.

    Attributes:
        task: What the model names as its ``task``; None for models of other libraries.
        classes: Names by label id; None for a model that has none.
        palette: RGB colours by label id; None if they are not known.
        options: The task's options, those of tiles among them: those of the call, else those of the predictor, else the
            task's defaults.
        given: Options of the model that are asked for by name.
        in_force: Every option of the model, as its config has it; empty for models of other libraries.
        takes: What the model is told beside pictures, as fields of data samples; empty for models of other libraries.
    """

    task: str | None = None
    classes: tuple[str, ...] | None = None
    palette: Sequence[Color] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    in_force: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[str, ...] = ()

    def named_classes(self) -> tuple[str, ...]:
        """The names of the classes, for a task that cannot do without.

        Raises:
            ValueError: There are none.
        """
        if self.classes is None:
            raise ValueError('neither the checkpoint nor the config names the classes; give classes=[...]')
        return self.classes


@dataclass(frozen=True)
class Picture:
    """One picture of a prediction.

    Attributes:
        image: (H, W, 3) uint8, RGB, as a person sees it.
        canvas: What the model saw in its place, and the way back.
        source: The file that was read, if it was a file.
        notes: For the user, see `Result`.
        tile_of: Of a tile, the height and width of the picture that it is a part of; None of a picture.
        corner: Of a tile, where it begins in that picture: (top, left) in pixels.
        unshrunk: Of a picture whose canvas is shrunk, what the canvas was made of, (H, W, 3) BGR or (H, W) uint8 or
            uint16, where the pipeline keeps the depth; else None, and ``image`` shows the same.
        is_probe: Whether it only stands for a tile while memory is measured: as large as one, perhaps larger than the
            picture. What is found in it is not kept.
        beside: Maps that lie beside the picture, by name, shared by it and its tiles; see
            `densevit.inference.beside.part_beside`.
    """

    image: np.ndarray
    canvas: Canvas
    source: Path | None = None
    notes: tuple[str, ...] = ()
    tile_of: tuple[int, int] | None = None
    corner: tuple[int, int] = (0, 0)
    unshrunk: np.ndarray | None = None
    is_probe: bool = False
    beside: dict[str, np.ndarray | None] = field(default_factory=dict)


class Tile(NamedTuple):
    """What was found in a part of a picture.

    Attributes:
        result: Of the part, as if it were a picture; its ``image_size`` is the tile's height and width.
        top, left: Where the part begins in the picture, in pixels.
    """

    result: Result
    top: int
    left: int


class Task:
    """What varies by task in `predict`, in `Result.save` and on the command line.

    Derive a class in a file of ``tasks/``, with the task's `Result`, and add an instance to ``TASKS`` there. Nothing
    else of ``inference`` knows of it. The file is imported for ``--help`` too: import PyTorch and OpenMMLab where they
    are used.
    """

    names: ClassVar[tuple[str, ...]]  # values of a model's `task`
    fields: ClassVar[tuple[str, ...]]  # of data samples that it reads, for messages
    needs_classes: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Any]] = {}  # keyword arguments of `predict` and their defaults
    arguments: ClassVar[tuple[Argument, ...]] = ()
    # Of each file beside the picture what it adds to the picture's name (a folder ends in '/'), and the option of
    # `Result.save` that asks for it; None where none needs to. By it no result replaces what belongs to another.
    files: ClassVar[Mapping[str, str | None]] = {}
    can_tile: ClassVar[bool] = False  # whether it has `merge`, so that large pictures can be predicted in tiles
    whole_picture: ClassVar[bool] = True  # whether they are predicted as a whole as well, unless a call says otherwise
    tile_options: ClassVar[Mapping[str, Any]] = {}  # further arguments of `predict`, which `merge` reads
    help: ClassVar[str] = ''  # lines for the end of --help: the files it writes
    examples: ClassVar[str] = ''  # lines for the end of --help; {prog} is the command
    # By scheme, what makes a config, with its weights, of the file in ``densevit.load('scheme:FILE')``.
    schemes: ClassVar[Mapping[str, Callable[[str], Config]]] = {}

    def reads(self, sample: BaseDataElement) -> bool:
        """Whether a data sample of a model of another library is for this task; the first task that says so reads it.

        Models of ours have a ``task`` and are not asked for.
        """
        return any(name in sample for name in self.fields)

    def max_pixels(self, model: nn.Module, num_classes: int) -> int | None:
        """The most pixels that a picture may have before it is shrunk.

        None for a task whose pictures are never shrunk, because each pixel is wanted: its models look at large ones
        in tiles.
        """
        raise NotImplementedError

    def check(self, call: Call) -> None:
        """See that the options of a call make sense.

        Raises:
            ValueError: One does not; the message says what to give.
        """

    def sample(self, photograph: Path, folder: Path, model: nn.Module) -> tuple[Path, Mapping[str, Any]]:
        """The picture of a command that names none, and options of `predict` that go with it.

        Args:
            photograph: A photograph that is always there.
            folder: Where results go; what a task makes of the photograph it writes to a folder in it.
            model: The model that will see it.
        """
        return photograph, {}

    def model_options(self, call: Call) -> dict[str, Any]:
        """What ``model.test_step(data, **options)`` gets, for a model of ours, beside ``call.given``."""
        return {}

    def tell(self, sample: BaseDataElement, picture: Picture, call: Call) -> None:
        """Give the model what it is told beside a picture, as fields of the data sample that it gets, over its canvas.

        Raises:
            ValueError: What a user has given does not fit the picture.
        """

    def check_tiles(
        self,
        picture: Picture,
        size: tuple[int, int],
        corners: Sequence[tuple[int, int]],
        call: Call,
    ) -> None:
        """See that a picture can be predicted in tiles, before the first one is.

        Args:
            picture: All of it.
            size: Height and width of a tile in pixels.
            corners: Top and left of each.

        Raises:
            ValueError: It cannot; the message says what to give.
        """

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> Result:
        """A data sample as the task's result.

        Maps and boxes of the sample are of ``picture.canvas``, whose `restore` and `restore_boxes` lay them onto the
        picture.

        Raises:
            PredictionError: It holds nothing that can be shown.
            ValueError: Sizes or labels do not fit the picture or the classes.
        """
        raise NotImplementedError

    def merge(self, tiles: Iterator[Tile], picture: Picture, call: Call) -> Result:
        """Results of the overlapping tiles of a picture as the one result of the picture.

        Args:
            tiles: Made one after the other, so that a task which needs no more than one at a time keeps no more. The
                whole picture comes first, if it was predicted as well: its maps are those of the picture seen from
                afar, to which those of tiles can be aligned. Tiles overlap by a share that is a call's to choose, and
                come row by row.
            picture: Its image, source and notes.
            call: With the task's ``tile_options`` among its options.
        """
        raise NotImplementedError


def number_from_0_to_1(text: str) -> float:
    """The type of an argument of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f'{text!r} is not a number from 0 to 1')
    return value

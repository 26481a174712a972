"""What is asked of each task about its data before a run."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from .file_facts import Facts, FactsMemory

if TYPE_CHECKING:
    from .survey import Survey


class DataError(ValueError):
    """Files of a data set do not fit each other, their annotations or the model."""


class Picture(NamedTuple):
    """An image of a data set.

    Attributes:
        info: What the dataset says of it (``get_data_info``).
        facts: What its file says; None if another reader than Pillow is needed.
        shape: Height and width of what the pipeline reads; None if that cannot be told.
    """
    info: Mapping[str, Any]
    facts: Facts | None
    shape: tuple[int, int] | None

    def require_size(self, height: int, width: int, which: str) -> None:
        """See that something else has the size of the image.

        Args:
            height, width: The size of the other, in pixels.
            which: What has this size, with its verb: ``'its label map labels/1.png has'``.

        Raises:
            DataError: It has not.
        """
        if self.shape is None or (height, width) == tuple(self.shape):
            return
        turned, remedy = '', 'use files of one size, or correct the annotation'
        if self.facts is not None and self.facts.orientation > 4:
            turned = f' (turned by its EXIF orientation {self.facts.orientation})'
            if (height, width) == (self.facts.height, self.facts.width):
                remedy = ('the annotation was made for the stored pixels: remove the orientation from the image '
                          '(exiftool -Orientation= FILE), or turn the annotation')
        raise DataError(f'{self.info["img_path"]} is read with {self.shape[1]}x{self.shape[0]} pixels{turned}, but '
                        f'{which} {width}x{height}: {remedy}')


class Labels(NamedTuple):
    """What annotates an image.

    Attributes:
        classes: Labels that occur.
        values: Raw values of a map, before a dataset makes labels of them.
    """
    classes: Sequence[int]
    values: Sequence[float] = ()


class TaskChecks:
    """What a task sees to in one split of the data; it overrides the questions that it has an answer to.

    What it raises is one line with the file, and the key or the file to change: a ``DataError`` about one image, any
    ValueError or OSError about a whole split.
    """

    @classmethod
    def of(cls, model: nn.Module, dataset: Any, metrics: Sequence[Any]) -> TaskChecks:
        """The checks of a split, for the model that learns from it and the metrics of its evaluator."""
        return cls()

    @staticmethod
    def check_config(dataset: Mapping[str, Any], key: str) -> None:
        """Look at the config of a dataset, at its key, before anything is built."""

    def check_dataset(self, dataset: Any, name: str) -> None:
        """Look at a dataset that is built: ``'train'``, ``'val'`` or ``'test'``."""

    def look(self, leaf: Any, picture: Picture, memory: FactsMemory) -> Labels | None:
        """Look at the files that annotate an image of a dataset without wrappers; None if they are of another task."""

    def check_survey(self, found: Survey, dataset: Any, name: str) -> None:
        """Look at what all images of a split have together."""

    def check_loaded(self, dataset: Any, name: str) -> None:
        """Look at what the pipeline of a split for validation or testing gives."""

    def check_sample(self, sample: Mapping[str, Any]) -> None:
        """Look at what the pipeline of training gives."""

    def notes(self, dataset: Any) -> list[str]:
        """What else is worth a line in the table of all splits."""
        return []

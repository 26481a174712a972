"""What `predict` asks of a task."""
from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from ..visualization.palette import Color, default_palette
from .files import Artifact

if TYPE_CHECKING:
    import supervision
    from mmengine.structures import BaseDataElement
    from torch import Tensor, nn

    from .canvas import Canvas
    from .result import Result

MIN_SCORE = 0.5  # objects below it are left out unless a call says otherwise


class PredictionError(RuntimeError):
    """A model gave nothing that can be shown; the message is one line and says what to do about it."""


class Argument(NamedTuple):
    """An argument of the command line.

    Tasks that have the same argument say the same of it: it is shown once.

    Attributes:
        flag: ``'--min-score'``; an option of that name, ``min_score``, is given on where a user has given it.
        of: Whose option it is: of `predict` or of `Result.save`.
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
        options: The task's options: those of the call, else those of the predictor, else the task's defaults.
        given: Options of the model that are asked for by name.
        in_force: Every option of the model, as its config has it; empty for models of other libraries.
    """

    task: str | None = None
    classes: tuple[str, ...] | None = None
    palette: Sequence[Color] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    in_force: Mapping[str, Any] = field(default_factory=dict)

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
    """

    image: np.ndarray
    canvas: Canvas
    source: Path | None = None
    notes: tuple[str, ...] = ()


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
    help: ClassVar[str] = ''  # lines for the end of --help: the files it writes
    examples: ClassVar[str] = ''  # lines for the end of --help; {prog} is the command

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

    def model_options(self, call: Call) -> dict[str, Any]:
        """What ``model.test_step(data, **options)`` gets, for a model of ours, beside ``call.given``."""
        return {}

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> Result:
        """A data sample as the task's result.

        Maps and boxes of the sample are of ``picture.canvas``, whose `restore` and `restore_boxes` lay them onto the
        picture.

        Raises:
            PredictionError: It holds nothing that can be shown.
            ValueError: Sizes or labels do not fit the picture or the classes.
        """
        raise NotImplementedError


def class_thresholds(
    threshold: float | Mapping[str, float],
    classes: Sequence[str],
    default: float,
    name: str = 'min_score',
) -> np.ndarray:
    """The threshold of each class, (C,) float64.

    Args:
        threshold: One for all, or by names of classes; the others get the default.
        name: The option's, for messages.

    Raises:
        ValueError: A threshold is no number from 0 to 1, or no class has that name.
    """
    by_class = threshold if isinstance(threshold, Mapping) else {None: threshold}
    for value in by_class.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f'{name}={value!r}: give a number from 0 to 1, or such numbers by class: '
                             f'{name}={{{(classes or ("name",))[0]!r}: 0.5}}')
    if by_class is not threshold:
        return np.full(len(classes), threshold, float)
    if unknown := [label for label in by_class if label not in classes]:
        near = get_close_matches(str(unknown[0]), classes, 1) or classes[:4]
        raise ValueError(f'{name} has {unknown[0]!r}, which is no class: write {" or ".join(map(repr, near))}')
    return np.array([by_class.get(label, default) for label in classes], float)


def number_from_0_to_1(text: str) -> float:
    """The type of an argument of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f'{text!r} is not a number from 0 to 1')
    return value


def as_palette(palette: Sequence[Color] | None, count: int) -> tuple[Color, ...]:
    """The given colours if there is one for each of ``count`` classes, else the default ones."""
    if palette is None or len(palette) < count:
        return default_palette(count)
    return tuple(tuple(int(v) for v in color) for color in palette[:count])


def check_labels(labels: np.ndarray, classes: Sequence[str]) -> None:
    """See that label ids (N,) have names.

    Raises:
        ValueError: One has none.
    """
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise ValueError(f'label ids {labels.min()} to {labels.max()} do not fit {len(classes)} classes; give as many '
                         'class names as the model has classes')


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The values of a tensor of any device, detached."""
    return tensor.detach().cpu().numpy()


def instance_masks(masks: Any, keep: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Masks of a data sample that are kept, over the picture: (n, H, W) bool.

    Args:
        masks: (N, h, w) of the canvas, as tensor or array, or N masks as COCO's run lengths.
        keep: (N,) bool.
        canvas: What the model saw in place of the picture.
    """
    import torch
    from pycocotools import mask as coco_masks

    if len(masks) and isinstance(masks[0], dict):  # run lengths
        masks = np.array([coco_masks.decode(mask) for mask, kept in zip(masks, keep, strict=True) if kept], bool)
    elif not keep.all():  # choosing copies all masks
        masks = masks[torch.as_tensor(keep, device=getattr(masks, 'device', None))]
    return to_numpy(canvas.restore(torch.as_tensor(masks).reshape(-1, *canvas.image.shape[:2])))


def mask_artifacts(mask_of: Callable[[int], np.ndarray], names: Sequence[str]) -> list[Artifact]:
    """A black-and-white PNG for each mask, ``<name>.masks/000_<class name>.png``.

    Args:
        mask_of: Gives the mask (H, W) bool of an index when its file is written.
        names: The class name of each mask.
    """
    files = []
    for index, name in enumerate(names):
        name = re.sub(r'[^\w.-]+', '_', name)[:60]
        files.append(Artifact(f'.masks/{index:03d}_{name}.png', partial(_mask_image, mask_of, index)))
    return files


def _mask_image(mask_of: Callable[[int], np.ndarray], index: int) -> np.ndarray:
    return mask_of(index).astype(np.uint8) * 255


def supervision_detections(
    boxes: np.ndarray,
    masks: np.ndarray | None,
    labels: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[str],
) -> supervision.Detections:
    """Fields of a result as ``supervision.Detections``, with ``data['class_name']``.

    Raises:
        ImportError: supervision is not installed; the message says how to get it.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError('to_supervision() needs supervision: pip install supervision') from error
    names = np.array([classes[label] for label in labels], dtype=str)
    return supervision.Detections(
        xyxy=boxes, mask=masks, confidence=scores, class_id=labels.astype(int), data={'class_name': names})

"""What tasks that find objects share: thresholds by class, labels, masks and their files."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..visualization.palette import Color, default_palette
from .files import Artifact
from .task import Argument, number_from_0_to_1

if TYPE_CHECKING:
    import supervision
    from torch import Tensor

    from .canvas import Canvas

MIN_SCORE = 0.5  # objects below it are left out unless a call says otherwise

# Of predictions with scores, and of pictures with classes in colours.
ARGUMENTS = (
    Argument('--min-score', 'predict', dict(
        type=number_from_0_to_1, metavar='SCORE', help=f'leave out instances below it (default: {MIN_SCORE})')),
    Argument('--opacity', 'save', dict(
        type=number_from_0_to_1, metavar='OPACITY', help='of the colours, 0 to 1 (default: 0.5)')),
    Argument('--no-legend', 'save', dict(
        dest='legend', action='store_const', const=False, help='leave out the legend')),
    Argument('--masks', 'save', dict(
        action='store_const', const=True, help='write a PNG for each segment; see below')),
)


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
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
            raise ValueError(f'{name}={value!r}: give a number from 0 to 1, or such numbers by class: '
                             f'{name}={{{(classes or ("name",))[0]!r}: 0.5}}')
    if by_class is not threshold:
        return np.full(len(classes), threshold, float)
    if unknown := [label for label in by_class if label not in classes]:
        near = get_close_matches(str(unknown[0]), classes, 1) or classes[:4]
        raise ValueError(f'{name} has {unknown[0]!r}, which is no class: write {" or ".join(map(repr, near))}')
    return np.array([by_class.get(label, default) for label in classes], float)


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
        ImportError: The package supervision is not installed; the message says how to get it.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError('to_supervision() needs supervision: pip install supervision') from error
    names = np.array([classes[label] for label in labels], dtype=str)
    return supervision.Detections(
        xyxy=boxes, mask=masks, confidence=scores, class_id=labels.astype(int), data={'class_name': names})

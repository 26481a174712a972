"""What tasks that find objects share: thresholds by class, labels, masks and their files."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

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


class MaskPart(NamedTuple):
    """The part of a picture that holds a mask.

    Attributes:
        top, left: Where it begins, in pixels.
        pixels: (h, w) bool.
    """

    top: int
    left: int
    pixels: np.ndarray


class InstanceMasks:
    """N masks of one picture, in memory as COCO's run lengths of the part that each takes.

    A thousand cells in a picture of 24 megapixels are 24 GB as pixels and less than a megabyte so. ``masks[3]`` is a
    mask (H, W) bool, made when it is asked for; other indices of NumPy's choose masks, and ``np.asarray(masks)`` is
    all of them, (N, H, W).

    Args:
        size: Height and width of the picture.
        parts: Top and left of the part of each mask, and the part's run lengths.
    """

    dtype = np.dtype(bool)

    def __init__(self, size: tuple[int, int], parts: Iterable[tuple[int, int, dict[str, Any]]] = ()) -> None:
        self.size = size
        self._parts = list(parts)

    @classmethod
    def of(cls, masks: Iterable[np.ndarray], size: tuple[int, int]) -> InstanceMasks:
        """Masks (H, W) bool of pictures of that size, taken one by one."""
        return cls.of_parts((MaskPart(0, 0, mask) for mask in masks), size)

    @classmethod
    def of_parts(cls, parts: Iterable[MaskPart], size: tuple[int, int]) -> InstanceMasks:
        """Masks that are nothing outside of a part of the picture each."""
        from pycocotools import mask as coco_masks

        kept = []
        for top, left, pixels in parts:
            rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
            if len(rows):
                top, left = top + int(rows[0]), left + int(columns[0])
                pixels = pixels[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
            else:
                pixels = pixels[:1, :1]
            kept.append((top, left, coco_masks.encode(np.asfortranarray(pixels, np.uint8))))
        return cls(size, kept)

    @classmethod
    def together(cls, several: Sequence[InstanceMasks]) -> InstanceMasks:
        """Those of one picture, one after the other."""
        return cls(several[0].size, [part for masks in several for part in masks._parts])

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self), *self.size

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, int | np.integer):
            return InstanceMasks(self.size, [self._parts[chosen] for chosen in np.arange(len(self))[index]])
        mask = np.zeros(self.size, bool)
        top, left, pixels = self.part(index)
        mask[top:top + pixels.shape[0], left:left + pixels.shape[1]] = pixels
        return mask

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.stack([*self, np.zeros(self.size, bool)])[:-1].astype(dtype or bool, copy=False)

    def part(self, index: int) -> MaskPart:
        """The smallest part of the picture that holds the mask; one pixel of a mask that is empty."""
        from pycocotools import mask as coco_masks

        top, left, lengths = self._parts[index]
        return MaskPart(top, left, coco_masks.decode(lengths).view(bool))

    def moved(self, top: int, left: int, size: tuple[int, int]) -> InstanceMasks:
        """The masks in a larger picture, of which theirs is the part that begins at ``top`` and ``left``."""
        return InstanceMasks(size, [(top + y, left + x, lengths) for y, x, lengths in self._parts])

    def union(self) -> MaskPart:
        """The pixels that any of the masks has."""
        parts = [self.part(index) for index in range(len(self))]
        top, left = min(part.top for part in parts), min(part.left for part in parts)
        bottom = max(part.top + part.pixels.shape[0] for part in parts)
        right = max(part.left + part.pixels.shape[1] for part in parts)
        pixels = np.zeros((bottom - top, right - left), bool)
        for y, x, seen in parts:
            pixels[y - top:y - top + seen.shape[0], x - left:x - left + seen.shape[1]] |= seen
        return MaskPart(top, left, pixels)

    def unions(self, groups: Iterable[Sequence[int]]) -> InstanceMasks:
        """A mask for each group of indices: what any of its masks has."""
        of_groups = [self[group] for group in groups]
        return InstanceMasks.together([InstanceMasks(self.size), *(
            masks if len(masks) == 1 else InstanceMasks.of_parts([masks.union()], self.size) for masks in of_groups)])

    def run_lengths(self, index: int) -> dict[str, Any]:
        """A mask as COCO's compressed run lengths of the picture, in types that JSON knows, with its ``area``.

        Made of the part alone: the runs of its columns are moved to where they begin in the picture.
        """
        from pycocotools import mask as coco_masks

        top, left, pixels = self.part(index)
        height, width = self.size
        columns = np.pad(pixels, ((1, 1), (0, 0))).astype(np.int8)
        column, row = np.nonzero(np.diff(columns, axis=0).T)  # where runs begin and end, by turns
        ends = (left + column) * height + top + row
        # What ends at the foot of a column may go on at the head of the next.
        joined = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1
        ends = np.delete(ends, np.concatenate((joined, joined + 1)))
        counts = np.diff(ends, prepend=0, append=height * width).tolist()
        counts = counts if counts[-1] else counts[:-1]  # pycocotools, too, ends with what is last
        counts = coco_masks.frPyObjects(dict(size=[height, width], counts=counts), height, width)['counts']
        return dict(area=float(np.count_nonzero(pixels)),
                    segmentation=dict(size=[height, width], counts=counts.decode('ascii')))


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


def masks_one_by_one(masks: Any, indices: Iterable[int], canvas: Canvas) -> InstanceMasks:
    """Some masks of a data sample over the picture, of which one at a time is pixels.

    Args:
        masks: See :func:`instance_masks`.
        indices: Which of them, in order.
        canvas: What the model saw in place of the picture.
    """
    import torch
    from pycocotools import mask as coco_masks

    def over_picture(mask: Any) -> np.ndarray:
        mask = torch.as_tensor(coco_masks.decode(mask) if isinstance(mask, dict) else mask)
        return to_numpy(canvas.restore(mask.reshape(canvas.image.shape[:2]).bool()))

    return InstanceMasks.of((over_picture(masks[int(index)]) for index in indices), canvas.size)


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

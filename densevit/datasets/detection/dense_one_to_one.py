"""More objects in each image: the mosaics of DEIM (arXiv:2412.04234, section 3.2), and when they are made.

Mix-up and copy-blend, the other half of its dense one-to-one matching, combine the images of a batch: see
:mod:`densevit.models.detection.batch_mixing`.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmdet.structures.mask import BitmapMasks

from ...registry import TRANSFORMS
from ..common.other_images import OtherImages
from ..common.stages import InStages
from ..common.transforms import ResizeSegments, keep_seen

_TILES = ((0, 0), (1, 0), (0, 1), (1, 1))  # column and row of each image


@TRANSFORMS.register_module()
class AffineMosaic(OtherImages):
    """Four images side by side, two in each row, which are turned, moved and scaled together.

    The three others are drawn from the dataset and read by the transforms before this one, which therefore comes right
    after those that load. Each cell is as large as the largest of the four, images lie at its upper left. What leaves
    the canvas is cut off. As in the authors' code, but that the others come from the whole dataset and not from the
    last 50 images of a worker (a sample would depend on the number of workers), and that pixels are interpolated.

    Args:
        size: Pixels of the shorter side of each image in the mosaic: half of the side at which a network is trained.
        rotation: The largest angle in degrees, to both sides.
        translation: The largest shift along each axis, as a share of the canvas.
        scales: The smallest and the largest factor.
        fill: Value in [0, 255] where there is no image.

    Raises:
        ValueError: The images have label maps.

    Required and modified keys: ``img`` (H, W, 3) uint8, ``img_shape``, ``gt_bboxes``, ``gt_bboxes_labels``,
    ``gt_ignore_flags`` and maybe ``gt_masks``, of which boxes then are the hulls.
    """

    def __init__(
        self,
        size: int = 320,
        rotation: float = 10.,
        translation: float = .1,
        scales: Sequence[float] = (.5, 1.5),
        fill: float = 0,
    ) -> None:
        self.size, self.rotation, self.translation, self.scales = size, rotation, translation, tuple(scales)
        self.fill = fill
        self.resize = ResizeSegments(scale=(1, 1), keep_ratio=False)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'gt_seg_map' in results:
            raise ValueError('AffineMosaic moves boxes and masks and no label map: load none (with_seg=False)')
        parts = [self._shrink(part) for part in (results, *self.others(3))]
        height, width = np.max([part['img'].shape[:2] for part in parts], axis=0).tolist()
        mosaic = dict(results, **_side_by_side(parts, height, width, self.fill))
        self._move(mosaic, self._matrix(2 * height, 2 * width))
        keep_seen(mosaic)
        return mosaic

    def _shrink(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        scale = self.size / min(height, width)
        self.resize.scale = int(width * scale + 1e-6), int(height * scale + 1e-6)
        return self.resize(results)

    def _matrix(self, height: int, width: int) -> np.ndarray:
        """(3, 3): a random turn and scale about the centre of an image of this size, and a shift."""
        angle = math.radians(np.random.uniform(-self.rotation, self.rotation))
        scale = np.random.uniform(*self.scales)
        shift = [round(np.random.uniform(-self.translation, self.translation) * side) for side in (width, height)]
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        centre = np.array([width / 2, height / 2])
        turn = np.array([[cos, -sin], [sin, cos]])
        return np.block([[turn, (centre + shift - turn @ centre)[:, None]], [np.zeros((1, 2)), np.ones((1, 1))]])

    def _move(self, results: dict[str, Any], matrix: np.ndarray) -> None:
        """Move the image and its objects in place."""
        height, width = results['img_shape']
        # The coordinate of a pixel is that of its centre for OpenCV, and that of its corner for boxes.
        half = np.array([[1, 0, .5], [0, 1, .5], [0, 0, 1]])
        pixels = (np.linalg.inv(half) @ matrix @ half)[:2]
        results['img'] = cv2.warpAffine(results['img'], pixels, (width, height), flags=cv2.INTER_LINEAR,
                                        borderValue=(self.fill, ) * 3)
        results['gt_bboxes'].project_(matrix)
        results['gt_bboxes'].clip_((height, width))
        if 'gt_masks' in results:
            moved = [cv2.warpAffine(mask, pixels, (width, height), flags=cv2.INTER_NEAREST)
                     for mask in results['gt_masks'].masks]
            results['gt_masks'] = BitmapMasks(moved, height, width)
            results['gt_bboxes'] = results['gt_masks'].get_bboxes('hbox')

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(size={self.size}, rotation={self.rotation}, translation={self.translation}, '
                f'scales={self.scales}, fill={self.fill})')


def _side_by_side(parts: Sequence[dict[str, Any]], height: int, width: int, fill: float) -> dict[str, Any]:
    """The image and the objects of four images, each in a cell of this height and width."""
    canvas = np.full((2 * height, 2 * width, 3), fill, parts[0]['img'].dtype)
    masks = []
    for (column, row), part in zip(_TILES, parts, strict=True):
        x, y = column * width, row * height
        high, wide = part['img'].shape[:2]
        canvas[y:y + high, x:x + wide] = part['img']
        part['gt_bboxes'].translate_((x, y))
        if 'gt_masks' in part:
            own = part['gt_masks'].to_ndarray().astype(np.uint8).reshape(-1, high, wide)
            masks.append(np.pad(own, ((0, 0), (y, 2 * height - y - high), (x, 2 * width - x - wide))))
    boxes = [part['gt_bboxes'] for part in parts]
    merged = dict(img=canvas, img_shape=canvas.shape[:2], gt_bboxes=boxes[0].cat(boxes))
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        merged[key] = np.concatenate([part[key] for part in parts])
    if masks:
        merged['gt_masks'] = BitmapMasks(np.concatenate(masks), *canvas.shape[:2])
    return merged


@TRANSFORMS.register_module()
class DenseOneToOne(InStages):
    """The authors' augmentation of single images in its four stages (DEIMv2, arXiv:2509.20787, and their configs).

    None; then a mosaic or zoom-out and crop; then zoom-out and crop; then none. Colours are changed in the two stages
    between. Zoom-out, crop and colours are mmdetection's, whose crop asks all boxes for an overlap with it where the
    authors' asks one.

    Args:
        starts: Shares of the run at which the second, third and last stage begin.
        size: Pixels of the shorter side of each image in a mosaic.
        mosaic: The probability of a mosaic in its stage.
        crop: The probability that a crop is tried.
        fill: Value in [0, 255] where there is no image.
    """

    def __init__(
        self,
        starts: Sequence[float],
        size: int = 320,
        mosaic: float = .5,
        crop: float = .8,
        fill: float = 0,
    ) -> None:
        first, second, last = starts
        colours = dict(type='mmdet.PhotoMetricDistortion')
        single = [
            colours,
            dict(type='mmdet.Expand', mean=(fill, fill, fill)),
            dict(type='mmengine.RandomApply', prob=crop, transforms=[dict(type='mmdet.MinIoURandomCrop')])
        ]
        either = dict(
            type='mmengine.RandomChoice',
            prob=[mosaic, 1. - mosaic],
            transforms=[[dict(type='densevit.AffineMosaic', size=size, fill=fill), colours], single])
        super().__init__([(0., []), (first, [either]), (second, single), (last, [])])

"""Transforms of images with depth: what is enlarged or padded never makes depth of its own.

``gt_depth_map`` is (H, W) float32 in metres, 0 where the depth is not known. ``camera`` is (fx, fy, cx, cy) in pixels
of ``img`` as it is, see :mod:`densevit.datasets.depth.camera`. ``zoom`` is how many pixels of ``img`` a pixel of the
file has become: where no camera is known, it tells how much of the view a part of an image shows.
"""
from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement, PixelData

from ...registry import TRANSFORMS
from ..common.resizing import resize_by_means
from ..common.transforms import height_and_width
from .camera import as_camera, mirrored, scaled
from .depth_files import read_depth

_META = ('img_path', 'depth_map_path', 'ori_shape', 'img_shape', 'camera', 'zoom', 'flip')


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Reads the depth of an image, and makes its camera four numbers.

    In training it stands before what changes the image; in tests behind it, so that predictions are compared with depth
    at the original size.

    Args:
        max_depth: Metres above which nothing is believed; None believes all.

    Required keys: ``img``, ``depth_map_path``, ``depth_scale``, ``ori_shape``. Added key: ``gt_depth_map``. Modified
    key: ``camera``, where there is one.

    Raises:
        DepthFileError, FileNotFoundError: See :func:`densevit.datasets.depth.depth_files.read_depth`.
        ValueError: The depth has not the size of the image.
    """

    def __init__(self, max_depth: float | None = None) -> None:
        self.max_depth = max_depth

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        depth = read_depth(results['depth_map_path'], results['depth_scale'])
        if depth.shape != tuple(results['ori_shape'][:2]):
            height, width = results['ori_shape'][:2]
            raise ValueError(f'{results["depth_map_path"]} has {depth.shape[1]}x{depth.shape[0]} pixels and its image '
                             f'{width}x{height}: write depth of the size of the image')
        if self.max_depth is not None:
            depth[depth > self.max_depth] = 0
        results['gt_depth_map'] = depth
        if results.get('camera') is not None:
            results['camera'] = as_camera(results['camera'], results['img'].shape[:2])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(max_depth={self.max_depth})'


@TRANSFORMS.register_module()
class ResizeForDepth(BaseTransform):
    """Resizes an image, its camera and, where it is loaded already, its depth.

    Args:
        size: (height, width) within which the image becomes as large as fits; None keeps the size.
        divisor: Sides are rounded to whole multiples of it: to the nearest that is within ``size``, or covers it.
        cover: Whether the image becomes as small as covers ``size`` instead, as Depth Anything sees it.
        cubic: Whether the image is interpolated with cubic splines, as MiDaS and Depth Anything do, whether it grows or
            shrinks; otherwise linearly where it grows and by means where it shrinks.

    Required key: ``img``. Modified keys: ``img``, ``img_shape``, ``camera``, ``zoom``, ``gt_depth_map``.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None,
        divisor: int = 1,
        cover: bool = False,
        cubic: bool = False,
    ) -> None:
        self.size, self.divisor = None if size is None else height_and_width(size), divisor
        self.cover, self.cubic = cover, cubic

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        fit = max if self.cover else min
        factor = 1. if self.size is None else fit(self.size[0] / height, self.size[1] / width)
        target = [self._rounded(side * factor, bound) for side, bound in zip(
            (height, width), self.size or (height, width), strict=True)]
        return cut_and_resize(results, (0, 0, height, width), target, cv2.INTER_CUBIC if self.cubic else None)

    def _rounded(self, side: float, bound: int) -> int:
        count = round(side / self.divisor)
        if self.size is not None and self.cover:
            count = max(count, ceil(bound / self.divisor))
        elif self.size is not None:
            count = min(count, bound // self.divisor)
        return max(1, count) * self.divisor

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(size={self.size}, divisor={self.divisor}, cover={self.cover}, '
                f'cubic={self.cubic})')


@TRANSFORMS.register_module()
class DepthCrop(BaseTransform):
    """A random part of an image, resized to one size and mirrored, with its depth and camera.

    A part that is enlarged looks nearer. A network with a ``canonical_focal`` is told so by the camera, which is
    resized, too; for others ``nearer`` makes it so, as Eigen et al. do (arXiv:1406.2283, section 3.4).

    Args:
        size: (height, width) of what is given, or the side of a square.
        scale: Least and greatest height of the part, as shares of the greatest part of this aspect ratio that the image
            holds.
        stretch: The aspect ratio of the part is changed by up to this factor either way.
        flip: The probability that it is mirrored left to right.
        nearer: Whether depth is divided by how much the part is enlarged against the greatest one.

    Required key: ``img``. Modified keys: ``img``, ``img_shape``, ``camera``, ``zoom``, ``gt_depth_map``, ``flip``.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (.6, 1.),
        stretch: float = 1.,
        flip: float = .5,
        nearer: bool = False,
    ) -> None:
        self.size, self.scale, self.stretch, self.flip, self.nearer = (
            height_and_width(size), tuple(scale), stretch, flip, nearer)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        ratio = self.size[1] / self.size[0] * np.exp(np.random.uniform(-1, 1) * np.log(self.stretch))
        greatest = min(height, width / ratio)
        share = np.random.uniform(*self.scale)
        h, w = max(1, round(greatest * share)), max(1, round(greatest * share * ratio))
        h, w = min(h, height), min(w, width)
        top, left = np.random.randint(height - h + 1), np.random.randint(width - w + 1)
        results = cut_and_resize(results, (top, left, h, w), self.size)
        if self.nearer and 'gt_depth_map' in results:
            results['gt_depth_map'] = results['gt_depth_map'] * np.float32(share)
        results['flip'] = bool(np.random.uniform() < self.flip)
        if results['flip']:
            results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
            if 'gt_depth_map' in results:
                results['gt_depth_map'] = np.ascontiguousarray(results['gt_depth_map'][:, ::-1])
            if 'camera' in results:
                results['camera'] = mirrored(results['camera'], self.size[1])
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(size={self.size}, scale={self.scale}, stretch={self.stretch}, '
                f'flip={self.flip}, nearer={self.nearer})')


@TRANSFORMS.register_module()
class PackDepth(BaseTransform):
    """Last of a pipeline: ``inputs`` (3, H, W) uint8, and a data sample with ``gt_depth_map`` where it was loaded.

    Required key: ``img``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if results.get('camera') is not None:  # of a pipeline in which nothing was resized
            results['camera'] = as_camera(results['camera'], results['img'].shape[:2])
        sample = BaseDataElement(metainfo={key: results[key] for key in _META if results.get(key) is not None})
        if 'gt_depth_map' in results:
            sample.gt_depth_map = PixelData(data=torch.from_numpy(np.ascontiguousarray(results['gt_depth_map']))[None])
        image = results['img'] if results['img'].ndim == 3 else results['img'][..., None]
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def cut_and_resize(
    results: dict[str, Any],
    part: tuple[int, int, int, int],
    size: Sequence[int],
    interpolation: int | None = None,
) -> dict[str, Any]:
    """Cut ``part`` (top, left, height, width) out of an image and what belongs to it, and resize it to ``size``.

    ``interpolation`` is OpenCV's; None takes means of what shrinks and is linear where an image grows.
    """
    image, (top, left, h, w), (height, width) = results['img'], part, size
    if results.get('camera') is not None:
        camera = as_camera(results['camera'], image.shape[:2])
        results['camera'] = scaled(camera, width / w, height / h, left, top)
    results['zoom'] = results.get('zoom', 1.) * sqrt(width / w * height / h)
    image = image[top:top + h, left:left + w]
    if interpolation is None:
        results['img'] = resize_by_means(image, (height, width))
    else:
        results['img'] = image if (h, w) == (height, width) else cv2.resize(
            image, (width, height), interpolation=interpolation)
    results['img_shape'] = (height, width)
    # In tests depth is loaded behind the resize and has the size of the file; before it, that of the image.
    if 'gt_depth_map' in results:
        results['gt_depth_map'] = resize_depth(results['gt_depth_map'][top:top + h, left:left + w], size)
    return results


def resize_depth(depth: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Depth (H, W) at another size, made of depths that there are: no mean of two sides of an edge.

    A pixel takes the depth at its centre. Where that is not known and the map shrinks, it takes the nearest surface
    of those that it covers, so that what a lidar saw is not lost between pixels.

    Args:
        depth: (H, W), 0 where it is not known.
        size: The new height and width.
    """
    (height, width), (h, w) = depth.shape, size
    if (height, width) == (h, w):
        return depth
    rows, columns = (np.minimum(((np.arange(new) + .5) * old / new).astype(int), old - 1)
                     for old, new in ((height, h), (width, w)))
    centres = depth[rows[:, None], columns]
    if h > height or w > width or (centres > 0).all():
        return centres
    known = np.where(depth > 0, depth, np.inf)
    nearest = np.minimum.reduceat(known, np.arange(h) * height // h, axis=0)
    nearest = np.minimum.reduceat(nearest, np.arange(w) * width // w, axis=1)
    return np.where(centres > 0, centres, np.where(np.isfinite(nearest), nearest, 0)).astype(depth.dtype)

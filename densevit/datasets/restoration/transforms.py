"""Transforms of pairs: ``img``, what is to be restored, and ``gt_img``, the true image, both BGR as everywhere here.

``gt_img`` is a whole number of times larger than ``img``, or of its size.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement
from torch import Tensor

from ...images import read_deep, read_image
from ...registry import TRANSFORMS
from ..common.load_image import to_openmmlab
from ..common.seeding import shape_of_batch
from ..common.task_checks import DataError
from .dataset import is_pair, remedy_of_pair
from .degradations import OneOf, crop_to_multiple


@TRANSFORMS.register_module()
class LoadPair(BaseTransform):
    """Reads a true image and its degraded one, where there is one.

    Args:
        color_type: ``'color'``, (H, W, 3) in BGR order, or ``'grayscale'``, (H, W).
        keep_depth: Whether files are read as they are, of 16 bits or of 8 and with the colours that lie under
            transparency, so that ``predict`` gives back what it gets, with the alpha. Else they are read as a person
            sees them: of 8 bits, on white.

    Required keys: ``img_path``, ``gt_path``; the same for a true image alone.

    Added keys: ``gt_img``, ``img``, ``ori_shape``, ``img_shape``. ``img`` is a view of ``gt_img`` where there is no
    degraded image.
    """

    def __init__(self, color_type: Literal['color', 'grayscale'] = 'color', keep_depth: bool = True) -> None:
        self.color_type, self.keep_depth = color_type, keep_depth

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results['gt_img'] = results['img'] = self._read(results['gt_path'])
        if is_pair(results):
            results['img'] = self._read(results['img_path'])
            scale_of_pair(results)
        results['ori_shape'] = results['img_shape'] = results['img'].shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        return to_openmmlab(read_deep(path).pixels if self.keep_depth else read_image(path), self.color_type)


def scale_of_pair(results: dict[str, Any]) -> int:
    """How many times larger the true image is than the other.

    Raises:
        DataError: It is no whole number, or not the same in both directions.
    """
    (height, width), (small_height, small_width) = results['gt_img'].shape[:2], results['img'].shape[:2]
    scale = height // small_height
    if scale < 1 or (height, width) != (scale * small_height, scale * small_width):
        raise DataError(f'{results["gt_path"]} is read with {width}x{height} pixels and {results["img_path"]} with '
                        f'{small_width}x{small_height}: {remedy_of_pair((height, width), (small_height, small_width))}')
    return scale


@TRANSFORMS.register_module()
class Degrade(BaseTransform):
    """Makes the image that is to be restored of the true one, where the data have none; pairs stay as they are.

    Args:
        steps: Configs of degradations, one after the other, such as ``dict(type='densevit.BicubicDown', scale=2)``.
        scale: How many times smaller they make the image. The true one is cropped to whole multiples of it first.
        seed: For validation and tests: what is drawn follows from it and the name of the file. None in training: it
            follows from numpy's generator, which ``densevit.SeedAugmentation`` seeds.

    Added keys: ``degradation``, the number of the choice, from 0 on, where one of the steps is ``densevit.OneOf``.
    """

    def __init__(self, steps: Sequence[dict[str, Any]], scale: int = 1, seed: int | None = None) -> None:
        self.steps = [TRANSFORMS.build(step) for step in steps]
        self.scale, self.seed = scale, seed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'gt_img' not in results or is_pair(results):  # predict gives images that are to be restored
            return results
        results['gt_img'] = image = crop_to_multiple(results['gt_img'], self.scale)
        random = generator_of(results, self.seed)
        for step in self.steps:
            if isinstance(step, OneOf):
                results['degradation'], image = step.degrade(image, random)
            else:
                image = step(image, random)
        results['img'] = image
        results['ori_shape'] = results['img_shape'] = image.shape[:2]
        return results


def generator_of(results: dict[str, Any], seed: int | None) -> np.random.Generator:
    """That of a seed and the name of the file or, without a seed, of numpy's generator."""
    if seed is None:
        return np.random.default_rng(np.random.randint(2**32))
    return np.random.default_rng([seed, crc32(os.fsencode(Path(results['gt_path']).name))])  # which need not be UTF-8


@TRANSFORMS.register_module()
class PairedCrop(BaseTransform):
    """Crops both images of a pair to the same part.

    Where :class:`densevit.datasets.ProgressivePatches` gave the batch a side, that takes the place of ``size``.

    Args:
        size: Side of the crop of the true image in pixels; a whole multiple of the scale. Images that are smaller are
            mirrored.
        margin: What the crop is larger on all sides, until a later one with ``place='center'`` cuts it off.
        place: ``'random'``, or ``'center'``: to cut off what a degradation did at the borders of a larger crop.
    """

    def __init__(self, size: int, place: Literal['random', 'center'] = 'random', margin: int = 0) -> None:
        if place not in ('random', 'center'):
            raise ValueError(f"place='{place}': choose 'random' or 'center'")
        if size < 1 or margin < 0:
            raise ValueError(f'size={size}, margin={margin} of PairedCrop: give a size from 1 and a margin from 0 on')
        self.size, self.place, self.margin = size, place, margin

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        scale = results['gt_img'].shape[0] // results['img'].shape[0]
        of_batch = shape_of_batch(results)
        size = (self.size if of_batch is None else of_batch[0]) + 2 * self.margin
        if size % scale:
            raise ValueError(f'a side of {size} pixels of PairedCrop is no whole multiple of the scale {scale}')
        side = size // scale
        room = [max(0, length - side) for length in results['img'].shape[:2]]
        corner = [np.random.randint(free + 1) if self.place == 'random' else free // 2 for free in room]
        results['gt_img'] = _cut(results['gt_img'], [scale * start for start in corner], size)
        results['img'] = _cut(results['img'], corner, side)
        if 'mask' in results:
            results['mask'] = _cut(results['mask'], corner, side)
        results['img_shape'] = results['img'].shape[:2]
        return results


def _cut(image: np.ndarray, corner: Sequence[int], side: int) -> np.ndarray:
    part = image[corner[0]:corner[0] + side, corner[1]:corner[1] + side]
    lacking = [(0, side - length) for length in part.shape[:2]]
    if any(after for _, after in lacking):
        part = np.pad(part, (*lacking, (0, 0))[:part.ndim], mode='symmetric')
    return part


@TRANSFORMS.register_module()
class FlipAndTurn(BaseTransform):
    """One of the eight ways to mirror and turn a pair, and its mask, by right angles, drawn evenly."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        turns, mirrored = np.random.randint(4), np.random.randint(2)
        for key in ('img', 'gt_img', *['mask'] * ('mask' in results)):
            image = np.rot90(results[key], turns)
            results[key] = image[:, ::-1] if mirrored else image
        results['img_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class MaskPixels(BaseTransform):
    """Hides pixels of the image that is to be restored, for masked pre-training (RAM, arXiv:2409.19403, section 3.2).

    Hidden pixels are 0. It stands behind what degrades; pictures of ``predict`` stay whole.

    Args:
        ratio: The share of pixels that are hidden; .5 in RAM.
        patch_size: Side of the squares that are hidden as one; 1 in RAM, where larger ones hide what cannot be told
            from the rest.
        seed: As that of ``densevit.Degrade``.

    Added keys: ``mask``, (H, W) bool, True where hidden.

    Raises:
        ValueError: The ratio is not between 0 and 1, or the side below 1.
    """

    def __init__(self, ratio: float = .5, patch_size: int = 1, seed: int | None = None) -> None:
        if not 0 < ratio < 1:
            raise ValueError(f'ratio={ratio} of MaskPixels: give a share above 0 and below 1')
        if patch_size < 1:
            raise ValueError(f'patch_size={patch_size} of MaskPixels: give a side in pixels, from 1 on')
        self.ratio, self.patch_size, self.seed = ratio, patch_size, seed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'gt_img' not in results:
            return results
        image = results['img']
        grid = [-(-side // self.patch_size) for side in image.shape[:2]]
        random = generator_of(results, self.seed)
        hidden = random.permutation(grid[0] * grid[1]).reshape(grid) < round(self.ratio * grid[0] * grid[1])
        mask = hidden.repeat(self.patch_size, 0).repeat(self.patch_size, 1)[:image.shape[0], :image.shape[1]]
        results['mask'] = mask
        results['img'] = np.where(mask[..., None] if image.ndim == 3 else mask, image.dtype.type(0), image)
        return results


@TRANSFORMS.register_module()
class PackPair(BaseTransform):
    """The end of a pipeline: ``inputs`` (C, H, W) and a data sample with ``gt_img`` (C, scale * H, scale * W), RGB.

    Of a masked image the sample has ``mask``, (1, H, W) bool, too. Pictures of ``predict`` have no ``gt_img``.

    Args:
        degradation: The number of the kind of degradation, from 0 on, where all pairs of a data set are of one; it is
            needed by ``densevit.ClassifyingRestorer``. None: what ``densevit.Degrade`` tells.
    """

    def __init__(self, degradation: int | None = None) -> None:
        self.degradation = degradation

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        sample = BaseDataElement(metainfo={
            key: results[key] for key in ('img_path', 'gt_path', 'ori_shape', 'img_shape', 'degradation')
            if key in results})
        if self.degradation is not None:
            sample.set_metainfo(dict(degradation=self.degradation))
        if 'gt_img' in results:
            sample.gt_img = _to_tensor(results['gt_img'])
        if 'mask' in results:
            sample.mask = _to_tensor(results['mask'])
        return dict(inputs=_to_tensor(results['img']), data_samples=sample)


def _to_tensor(image: np.ndarray) -> Tensor:
    image = image[:, :, None] if image.ndim == 2 else image[:, :, ::-1] if image.shape[2] == 3 else image
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

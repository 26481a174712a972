"""Transforms of images with opacities, and pictures that are composed of foregrounds and backgrounds.

``gt_alpha`` is (H, W) float32 in [0, 1], ``trimap`` (H, W) float32: 0, 0.5 and 1.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image

from ...images import read_image, upright
from ...registry import TRANSFORMS
from ..common.other_images import OtherImages
from ..common.transforms import height_and_width
from .alpha_files import is_clear, is_opaque, read_alpha, read_trimap, trimap_of
from .dataset import pictures_in

_META = ('img_path', 'alpha_path', 'ori_shape', 'img_shape', 'background', 'flip')


@TRANSFORMS.register_module()
class LoadForeground(BaseTransform):
    """Reads the colours of a foreground, those of transparent pixels too, which ``LoadImage`` lays on white.

    Required keys: ``img_path``. Added keys: ``img`` (H, W, 3) uint8 in BGR order, ``img_shape``, ``ori_shape``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        with Image.open(results['img_path']) as image:
            has_alpha = image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info
            if has_alpha:
                image.load()
                colors = np.asarray(upright(image).convert('RGBA'))[..., :3]
            else:
                colors = read_image(results['img_path'])
        results['img'] = np.ascontiguousarray(colors[..., ::-1])
        results['img_shape'] = results['ori_shape'] = colors.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class LoadAlpha(BaseTransform):
    """Reads the opacity of an image and, where it has a file, its trimap.

    Args:
        trimap_width: Makes the trimap of the opacity where it has no file, with a band of so many pixels, see
            :func:`densevit.datasets.matting.alpha_files.trimap_of`; None leaves it to :class:`RandomTrimap`.

    Required keys: ``alpha_path``, ``ori_shape`` and maybe ``trimap_path``. Added keys: ``gt_alpha``, ``trimap``.

    Raises:
        AlphaFileError, FileNotFoundError: A file is missing or is none of opacities.
        ValueError: An opacity has not the size of its image.
    """

    def __init__(self, trimap_width: float | None = None) -> None:
        self.trimap_width = trimap_width

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results['gt_alpha'] = read_alpha(results['alpha_path'])
        if 'trimap_path' in results:
            results['trimap'] = read_trimap(results['trimap_path'])
        elif self.trimap_width is not None:
            results['trimap'] = trimap_of(results['gt_alpha'], self.trimap_width)
        height, width = results['ori_shape'][:2]
        for name in ('gt_alpha', 'trimap'):
            if name in results and results[name].shape != (height, width):
                path = results['alpha_path' if name == 'gt_alpha' else 'trimap_path']
                raise ValueError(f'{path} has {results[name].shape[1]}x{results[name].shape[0]} pixels and its image '
                                 f'{width}x{height}: write files of the size of the image')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(trimap_width={self.trimap_width})'


@TRANSFORMS.register_module()
class MattingCrop(BaseTransform):
    """A square around a random pixel that is partly transparent, resized to one size and mirrored.

    As in Deep Image Matting (arXiv:1703.03872, section 4.3), squares have several sizes, and are learned from at one.

    Args:
        size: Height and width of what is given, or the side of a square.
        scale: Least and greatest height of the part, as shares of that of ``size``; images that are smaller give what
            they have, enlarged.
        flip: The probability that it is mirrored left to right.

    Required keys: ``img``, ``gt_alpha``. Modified keys: ``img``, ``img_shape``, ``gt_alpha``, ``trimap``, ``flip``.
    """

    def __init__(self, size: int | Sequence[int], scale: Sequence[float] = (.625, 1.25), flip: float = .5) -> None:
        self.size, self.scale, self.flip = height_and_width(size), tuple(scale), flip

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        share = min(np.random.uniform(*self.scale), height / self.size[0], width / self.size[1])
        h, w = (max(1, round(share * side)) for side in self.size)
        h, w = min(h, height), min(w, width)
        alpha = results['gt_alpha']
        unknown = np.flatnonzero(~is_clear(alpha) & ~is_opaque(alpha) if 'trimap' not in results
                                 else results['trimap'] == .5)
        place = np.random.choice(unknown) if len(unknown) else np.random.randint(height * width)
        top, left = (int(np.clip(centre - np.random.randint(side), 0, whole - side)) for centre, side, whole in zip(
            np.unravel_index(place, (height, width)), (h, w), (height, width), strict=True))
        results['flip'] = bool(np.random.uniform() < self.flip)
        for name, how in (('img', None), ('gt_alpha', None), ('trimap', cv2.INTER_NEAREST)):
            if name in results:
                part = resized(results[name][top:top + h, left:left + w], self.size, how)
                results[name] = np.ascontiguousarray(part[:, ::-1] if results['flip'] else part)
        results['img_shape'] = self.size
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, scale={self.scale}, flip={self.flip})'


@TRANSFORMS.register_module()
class JoinForegrounds(OtherImages):
    """Lays a foreground over another one of the data set, so that both are one foreground.

    Opacities ``a`` of ``F`` and ``b`` of ``G`` become ``c = 1 - (1 - a) (1 - b)``, and colours
    ``(a F + (1 - a) b G) / c``, which look on a background as the first on the second on it. The authors of ViTMatte
    do so, after GCA matting (arXiv:2001.04069), with colours ``a F + (1 - a) G``. Where nothing would be left of a
    background, the first stays alone. It comes behind :class:`MattingCrop`, which gives both one size.

    Args:
        probability: Of another foreground.

    Required keys: ``img``, ``gt_alpha``. Modified keys: ``img``, ``gt_alpha`` and ``trimap``, which is known where the
    first hides the second or neither is.

    Raises:
        ValueError: The two have not one size, or the data set offers no others.
    """

    def __init__(self, probability: float = .5) -> None:
        self.probability = probability

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.uniform() >= self.probability:
            return results
        other, = self.others(1)
        if other['img'].shape != results['img'].shape:
            raise ValueError(f'JoinForegrounds has foregrounds of {results["img"].shape[:2]} and '
                             f'{other["img"].shape[:2]} pixels: put it behind MattingCrop')
        a, b = results['gt_alpha'], other['gt_alpha']
        alpha = 1 - (1 - a) * (1 - b)
        if is_opaque(alpha).all():
            return results
        share = np.divide(a, alpha, out=np.ones_like(alpha), where=alpha > 0)
        joined = dict(results, img=compose(results['img'], other['img'], share), gt_alpha=alpha)
        if 'trimap' in results and 'trimap' in other:
            joined['trimap'] = np.maximum(results['trimap'], other['trimap'])
        return joined

    def __repr__(self) -> str:
        return f'{type(self).__name__}(probability={self.probability})'


@TRANSFORMS.register_module()
class JitterForeground(BaseTransform):
    """Moves hue, saturation and value of a foreground, not of what it is laid on, as GCA matting and ViTMatte do.

    Args:
        hue: The greatest turn of the hue, in degrees to both sides.
        spread: The greatest shift of saturation and value, as a share of 1.1 less their mean over the foreground; what
            leaves [0, 1] is mirrored.

    Required keys: ``img`` (H, W, 3) uint8, ``gt_alpha``. Modified key: ``img``.
    """

    def __init__(self, hue: float = 40., spread: float = .1) -> None:
        self.hue, self.spread = hue, spread

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        inside = results['gt_alpha'] > 0
        if not inside.any():
            return results
        hsv = cv2.cvtColor(results['img'].astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0] + np.random.uniform(-self.hue, self.hue)) % 360
        for band in (1, 2):
            room = self.spread * (1.1 - hsv[..., band][inside].mean())
            values = np.abs(hsv[..., band] + np.random.uniform(-room, room))
            hsv[..., band] = np.where(values > 1, 2 - values, values)
        results['img'] = np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255).astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(hue={self.hue}, spread={self.spread})'


@TRANSFORMS.register_module()
class ComposeForeground(BaseTransform):
    """Lays a foreground on a random background: ``alpha * foreground + (1 - alpha) * background``.

    Which background, which part of it and at which size follow from numpy's random state, which
    ``densevit.SeedAugmentation`` sets for each sample. Pictures of ``predict``, which have no opacity, stay as they
    are.

    Args:
        backgrounds: A folder of pictures, that of all below it.
        scale: Least and greatest height of the part of a background, as shares of the greatest of this shape that it
            holds.
        seed: For validation and tests: what is drawn follows from it and the name of the foreground. None in training.

    Required keys: ``img``, ``gt_alpha`` and, with a seed, ``img_path``. Modified key: ``img``. Added key:
    ``background``, its file.

    Raises:
        FileNotFoundError: The folder has no picture.
    """

    def __init__(self, backgrounds: str, scale: Sequence[float] = (.5, 1.), seed: int | None = None) -> None:
        self.backgrounds, self.scale, self.seed = backgrounds, tuple(scale), seed
        self._files: list[Path] | None = None

    @property
    def files(self) -> list[Path]:
        """The backgrounds."""
        if self._files is None:
            self._files = pictures_in(self.backgrounds)
        if not self._files:
            raise FileNotFoundError(f'{self.backgrounds} has no pictures: correct backgrounds of ComposeForeground')
        return self._files

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'gt_alpha' not in results:
            return results
        random = np.random if self.seed is None else np.random.RandomState(
            [self.seed, crc32(Path(results['img_path']).name.encode())])
        path = self.files[random.randint(len(self.files))]
        background, size = read_image(path)[..., ::-1], results['img'].shape[:2]
        height, width = background.shape[:2]
        share = random.uniform(*self.scale) * min(height / size[0], width / size[1])
        h, w = (max(1, int(share * side)) for side in size)
        top, left = random.randint(height - h + 1), random.randint(width - w + 1)
        background = resized(np.ascontiguousarray(background[top:top + h, left:left + w]), size)
        results['img'] = compose(results['img'], background, results['gt_alpha'])
        results['background'] = str(path)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backgrounds={self.backgrounds!r}, scale={self.scale}, seed={self.seed})'


@TRANSFORMS.register_module()
class RandomTrimap(BaseTransform):
    """A trimap of the opacity, with bands of random widths outside and inside, as people draw them.

    Args:
        width: Least and greatest width of a band in pixels; the authors of ViTMatte draw from 1 to 29.
        keep: The probability that a trimap stays that was read from a file.

    Required key: ``gt_alpha``. Added or modified key: ``trimap``.
    """

    def __init__(self, width: Sequence[float] = (1, 30), keep: float = .5) -> None:
        self.width, self.keep = tuple(width), keep

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'trimap' in results and np.random.uniform() < self.keep:
            return results
        results['trimap'] = trimap_of(results['gt_alpha'], *(np.random.uniform(*self.width) for _ in range(2)))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(width={self.width}, keep={self.keep})'


@TRANSFORMS.register_module()
class PackMatting(BaseTransform):
    """Last of a pipeline: ``inputs`` (3, H, W) uint8, and a data sample with ``gt_alpha`` and ``trimap``, if there are.

    Required key: ``img``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        sample = BaseDataElement(metainfo={key: results[key] for key in _META if results.get(key) is not None})
        for name in ('gt_alpha', 'trimap'):
            if name in results:
                sample.set_field(PixelData(data=torch.from_numpy(np.ascontiguousarray(results[name]))[None]), name)
        image = results['img'] if results['img'].ndim == 3 else results['img'][..., None]
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def compose(foreground: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A foreground (H, W, 3) uint8 on a background, by the opacity (H, W)."""
    alpha = alpha[..., None]
    return np.rint(alpha * foreground + (1 - alpha) * background).astype(np.uint8)


def resized(values: np.ndarray, size: Sequence[int], how: int | None = None) -> np.ndarray:
    """(h, w, ...) at another size, means of what becomes smaller."""
    if tuple(values.shape[:2]) == tuple(size):
        return values
    if how is None:
        how = cv2.INTER_AREA if size[0] < values.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(values, tuple(size)[::-1], interpolation=how)

"""Restoration: a better picture, of the same size or enlarged."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...datasets.restoration.matlab_resize import matlab_resize
from ...images import ImageSource, read_deep
from ...visualization.before_after import draw_before_after
from ..files import Artifact
from ..result import Result, Row, Table
from ..task import Call, Picture, PredictionError, Task

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.structures import BaseDataElement
    from torch import nn

    from ..task import Tile


@dataclass(frozen=True, eq=False, repr=False)
class RestorationResult(Result):
    """A picture that a model restored.

    Attributes:
        restored: (scale * H, scale * W, 3) RGB, of the type of the picture that was given: uint8 or uint16.
        image, source, notes: See `Result`.

    Raises:
        ValueError: The restored picture is not a whole number of times as large as the picture.
    """

    task: ClassVar[str] = 'restoration'
    restored: np.ndarray

    def __post_init__(self) -> None:
        height, width = self.image_size
        scale = self.restored.shape[0] // height
        if self.restored.shape != (scale * height, scale * width, 3):
            raise ValueError(f'a restored picture of {self.restored.shape} does not fit one of {self.image.shape}')

    @property
    def scale(self) -> int:
        """How many times larger the sides of the restored picture are."""
        return self.restored.shape[0] // self.image_size[0]

    def psnr(self, reference: ImageSource, crop_border: int | None = None, y_channel: bool = False) -> float:
        """PSNR in dB against the true picture, see :func:`densevit.evaluation.psnr`.

        Args:
            reference: The true picture, of the size of ``restored``.
            crop_border: Pixels that are left out at each side; the scale where it is above 1, as in papers, if None.
            y_channel: Whether luma is compared, or RGB.
        """
        from ...evaluation import psnr
        return psnr(*self._pair(reference), self._border(crop_border), y_channel)

    def ssim(self, reference: ImageSource, crop_border: int | None = None, y_channel: bool = False) -> float:
        """Structural similarity to the true picture; the arguments are those of `psnr`."""
        from ...evaluation import ssim
        return ssim(*self._pair(reference), self._border(crop_border), y_channel)

    def _pair(self, reference: ImageSource) -> tuple[np.ndarray, np.ndarray]:
        target = read_deep(reference).pixels
        if target.dtype != self.restored.dtype:
            return _eight_bits(self.restored), _eight_bits(target)
        return self.restored, target

    def _border(self, crop_border: int | None) -> int:
        return crop_border if crop_border is not None else self.scale if self.scale > 1 else 0

    def draw(self, *, detail: bool = True) -> np.ndarray:
        """The picture beside the restored one and, below, the part of both that has changed most, magnified.

        Args:
            detail: Whether that part is shown.
        """
        return draw_before_after(self.image, _eight_bits(self.restored), detail)

    def table(self) -> Table:
        """The sizes before and after."""
        height, width = self.image_size
        return Table(('picture', 'width', 'height'), (
            Row(('given', f'{width:,}', f'{height:,}')),
            Row(('restored', f'{self.restored.shape[1]:,}', f'{self.restored.shape[0]:,}'))))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, in types that JSON knows."""
        height, width = self.restored.shape[:2]
        return super().to_dict() | dict(scale=self.scale, restored_size=dict(height=height, width=width))

    def artifacts(self, *, detail: bool = True) -> list[Artifact]:
        """The picture of `draw`, and the restored one: of 16 bits if the picture is, grey if it is, with its alpha.

        Args:
            detail: See `draw`.
        """
        return [Artifact('', partial(self.draw, detail=detail)),
                Artifact('.restored.png', self._to_file)]

    def _to_file(self) -> np.ndarray:
        """The restored picture with as many channels as the file of the picture has."""
        pixels = self.restored[..., 0] if _is_grey(self.restored) else self.restored
        alpha = None if self.source is None else read_deep(self.source).alpha
        if alpha is None:
            return pixels
        scale = self.restored.dtype.type(257) if self.restored.dtype == np.uint16 and alpha.dtype == np.uint8 else 1
        alpha = matlab_resize(alpha * scale, self.scale)
        return np.concatenate([self.restored, alpha[..., None].astype(self.restored.dtype)], 2)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f'RestorationResult({height}x{width} to {self.restored.shape[0]}x{self.restored.shape[1]})'


def _eight_bits(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _is_grey(image: np.ndarray) -> bool:
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def spandrel_config(file: str) -> Config:
    """The config of a model with the network and the weights of a checkpoint that spandrel reads."""
    from mmengine.config import Config
    pipeline = [dict(type='densevit.LoadPair', keep_depth=True), dict(type='densevit.PackPair')]
    return Config(dict(
        model=dict(type='densevit.Restorer', head=dict(type='densevit.SpandrelNet', file=file)),
        test_dataloader=dict(dataset=dict(pipeline=pipeline))))


class Restoration(Task):
    """Restored pictures of models of ours, and of networks that spandrel reads."""

    names = ('restoration', )
    fields = ('pred_img', )
    needs_classes = False
    can_tile = True
    whole_picture = False  # tiles show all that there is
    schemes = dict(spandrel=spandrel_config)
    help = """restoration writes, beside the picture before and after with a magnified detail outputs/old.jpg:
  outputs/old.jpg.restored.png  the restored picture
  outputs/old.jpg.json          (--json) scale and restored_size"""
    examples = """
  {prog} spandrel:DCTLSA_X4.pt old.jpg"""

    def max_pixels(self, model: nn.Module, num_classes: int) -> None:
        """No picture is shrunk: each of its pixels is wanted."""

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> RestorationResult:
        """The restored picture; a grey one stays grey."""
        restored = sample.get('pred_img')
        if restored is None:
            raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a model of restoration '
                                  'gives pred_img')
        scale = max(1, restored.shape[-2] // picture.canvas.image.shape[0])
        restored = picture.canvas.restore(restored.float(), 'bilinear', scale)
        if len(restored) == 1 or _is_grey(picture.image):
            restored = restored.mean(0, keepdim=True).expand(3, -1, -1)
        dtype = picture.canvas.image.dtype
        values = restored.clamp(0, 1).mul(np.iinfo(dtype).max).round().cpu().numpy().transpose(1, 2, 0)
        return RestorationResult(picture.image, np.ascontiguousarray(values.astype(dtype)), source=picture.source,
                                 notes=picture.notes)

    def merge(self, tiles: Iterator[Tile], picture: Picture, call: Call) -> RestorationResult:
        """Tiles blended where they overlap, with weights that fall linearly: no seam where two agree.

        A row of tiles is joined first and then blended with what is above it, so that beside the result there is memory
        for one row. Only the picture's own result may be given beside tiles; it is not used.
        """
        canvas: _Rows | None = None
        for tile in tiles:
            result: RestorationResult = tile.result
            if result.image_size == picture.image.shape[:2]:
                continue
            if canvas is None:
                canvas = _Rows(picture.image.shape[:2], result.scale, result.restored.dtype)
            canvas.add(result.restored, tile.top, tile.left)
        if canvas is None:
            raise PredictionError('there are no tiles to join; give smaller tiles than the picture')
        return RestorationResult(picture.image, canvas.finish(), source=picture.source, notes=picture.notes)


class _Rows:
    """A picture that is put together of rows of overlapping tiles, given from left to right and from top to bottom."""

    def __init__(self, size: tuple[int, int], scale: int, dtype: np.dtype) -> None:
        self.scale = scale
        self.image = np.zeros((scale * size[0], scale * size[1], 3), dtype)
        self.row = np.zeros((0, scale * size[1], 3), np.float32)
        self.top = self.right = self.bottom = 0  # of the row at hand, and what lies above it, in pixels of the image

    def add(self, part: np.ndarray, top: int, left: int) -> None:
        top, left = self.scale * top, self.scale * left
        if not len(self.row) or top != self.top:
            self._blend_row()
            self.top, self.right = top, 0
            self.row = np.zeros((part.shape[0], *self.image.shape[1:]), np.float32)
        shared = max(0, self.right - left)
        new = self.row[:, left:left + part.shape[1]]
        new[:] = _blended(new, part.astype(np.float32), shared, axis=1)
        self.right = left + part.shape[1]

    def finish(self) -> np.ndarray:
        self._blend_row()
        return self.image

    def _blend_row(self) -> None:
        if not len(self.row):
            return
        rows = slice(self.top, self.top + len(self.row))
        blended = _blended(self.image[rows], self.row, max(0, self.bottom - self.top), axis=0)
        self.image[rows] = np.rint(blended).astype(self.image.dtype)
        self.bottom = self.top + len(self.row)


def _blended(old: np.ndarray, new: np.ndarray, shared: int, axis: int) -> np.ndarray:
    """The new part, which replaces the old one little by little over its first ``shared`` pixels."""
    weight = np.ones(new.shape[axis], np.float32)
    weight[:shared] = (np.arange(shared) + .5) / max(shared, 1)
    weight = weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return old * (1 - weight) + new * weight

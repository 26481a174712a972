"""Matting: how opaque an object is at each pixel, and the object cut out of its picture."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from ...datasets.matting.alpha_files import read_alpha, three_levels, trimap_of, width_for
from ...visualization.foreground import estimate_foreground, on_background
from ...visualization.legend import percent_text
from ...visualization.palette import Color
from ..beside import MASK, map_beside, part_beside
from ..files import Artifact
from ..result import Result, Row, Table
from ..task import Argument, Call, Picture, PredictionError, Task
from ..tiling import fading

if TYPE_CHECKING:
    from mmengine.structures import BaseDataElement
    from torch import nn

    from ..task import Tile

# 2048 x 2048: the time of a ViT that attends globally grows with the square of the pixels. Larger ones go in tiles.
_MAX_PIXELS = 2**22


@dataclass(frozen=True, eq=False, repr=False)
class MattingResult(Result):
    """The opacity of an object in one picture.

    Attributes:
        alpha: (H, W) float32 in [0, 1].
        trimap: (H, W) float32, what was known before: 0 background, 1 foreground, 0.5 unknown. None without a trimap.
        image, source, notes: See `Result`.

    Raises:
        ValueError: Sizes differ.
    """

    task: ClassVar[str] = 'matting'
    alpha: np.ndarray
    trimap: np.ndarray | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ('alpha', 'trimap'):
            data = getattr(self, name)
            if data is not None and data.shape != self.image_size:
                raise ValueError(f'{name} of a picture of {self.image_size} pixels has the shape {data.shape}')

    @cached_property
    def foreground(self) -> np.ndarray:
        """(H, W, 3) uint8, the colours of the object without those of what is behind it, made when first asked for."""
        return estimate_foreground(self.image, self.alpha)

    @property
    def cutout(self) -> np.ndarray:
        """(H, W, 4) uint8, the object with its opacity."""
        return np.dstack([self.foreground, np.rint(self.alpha * 255).astype(np.uint8)])

    def draw(self, *, background: Color | np.ndarray | None = None) -> np.ndarray:
        """The object on another background.

        Args:
            background: A colour, a picture (H, W, 3), or None for grey and white squares.
        """
        return on_background(self.foreground, self.alpha, background)

    def _shares(self) -> dict[str, float]:
        total, opaque, clear = self.alpha.size, (self.alpha >= 1).sum(), (self.alpha <= 0).sum()
        return dict(opaque=float(opaque / total), partly_transparent=float((total - opaque - clear) / total),
                    transparent=float(clear / total))

    def table(self) -> Table:
        rows = [Row((name.replace('_', ' '), percent_text(share))) for name, share in self._shares().items()]
        return Table(('opacity', 'of the picture'), tuple(rows))

    def to_dict(self) -> dict[str, Any]:
        unknown = None if self.trimap is None else float((self.trimap == .5).mean())
        return dict(super().to_dict(), **self._shares(), unknown_in_trimap=unknown)

    def artifacts(
        self,
        *,
        background: Color | np.ndarray | None = None,
        cutout: bool = True,
        alpha: bool = False,
    ) -> list[Artifact]:
        """The picture of `draw`, and the object cut out.

        Args:
            background: See `draw`.
            cutout: Write ``<name>.cutout.png``: the object with its opacity, RGBA of 8 bits.
            alpha: Write ``<name>.alpha.png``: the opacity, 8 bits.
        """
        files = [Artifact('', partial(self.draw, background=background))]
        if cutout:
            files.append(Artifact('.cutout.png', lambda: Image.fromarray(self.cutout)))
        if alpha:
            files.append(Artifact('.alpha.png', lambda: np.rint(self.alpha * 255).astype(np.uint8)))
        return files


class Matting(Task):
    """Opacities of models of ours."""

    names = ('matting', )
    fields = ('pred_alpha', )
    files = {'.cutout.png': None, '.alpha.png': 'alpha'}
    needs_classes = False
    options = dict(trimap=None, mask=None, width=None)
    can_tile = True
    whole_picture = False
    arguments = (
        Argument('--trimap', 'predict', dict(
            metavar='PATH', help='matting: a trimap (black, grey, white), or a folder of those with the names of the '
            'pictures')),
        MASK,
        Argument('--width', 'predict', dict(
            type=float, metavar='PIXELS', help='matting: of the unknown band on both sides of the edge of a mask')),
        Argument('--alpha', 'save', dict(
            action='store_const', const=True, help='matting: write the opacity as PNG of 8 bits')))
    help = """matting writes, beside the object on grey squares outputs/cat.jpg:
  outputs/cat.jpg.cutout.png  RGBA, the colours of the object without its background
  outputs/cat.jpg.alpha.png   (--alpha)
  outputs/cat.jpg.json        (--json) shares of opaque, partly transparent and transparent pixels"""

    def max_pixels(self, model: nn.Module, num_classes: int) -> int | None:
        return _MAX_PIXELS if getattr(model, 'task', None) in self.names else None  # of other libraries' it is none

    def check(self, call: Call) -> None:
        """See that there is one trimap or mask at the most, and a width with a mask."""
        trimap, mask, width = (call.options[name] for name in ('trimap', 'mask', 'width'))
        if trimap is not None and mask is not None:
            raise ValueError('trimap and mask both tell where the object is: give one of them')
        if width is not None and (isinstance(width, bool) or not isinstance(width, int | float) or not width >= 0):
            raise ValueError(f'width={width!r}: give pixels, 0 or more')
        if width is not None and mask is None:
            raise ValueError('width is that of the unknown band around the edge of a mask: give mask with it')

    def tell(self, sample: BaseDataElement, picture: Picture, call: Call) -> None:
        """Give the model the trimap of a picture or, of a tile, its part."""
        trimap = _trimap(picture, call)
        if trimap is not None:
            import torch
            from mmengine.structures import PixelData

            sample.trimap = PixelData(data=torch.from_numpy(picture.canvas.lay(trimap))[None])

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> MattingResult:
        """The opacity of a sample."""
        if 'pred_alpha' not in sample:
            raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a model of matting gives '
                                  'pred_alpha')
        alpha = picture.canvas.restore(sample.pred_alpha.data.float(), 'bilinear')[0].cpu().numpy()
        return _result(alpha, picture, call)

    def merge(self, tiles: Iterator[Tile], picture: Picture, call: Call) -> MattingResult:
        """Opacities of tiles, faded into each other; the whole picture counts where it was asked for, as one more."""
        size = picture.image.shape[:2]
        total, weights = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for result, top, left in tiles:
            part, weight = np.s_[top:top + result.image_size[0], left:left + result.image_size[1]], fading(
                *result.image_size)
            total[part] += weight * result.alpha
            weights[part] += weight
        return _result(total / weights, picture, call)


def _result(alpha: np.ndarray, picture: Picture, call: Call) -> MattingResult:
    trimap, notes = _trimap(picture, call), picture.notes
    if trimap is None:
        notes = (*notes, 'no trimap: the model was told nothing of where the object is; give trimap= (--trimap) or '
                 'mask= (--mask)')
    elif not trimap.any():
        notes = (*notes, 'the trimap has no pixel that may belong to an object, so that nothing is found')
    return MattingResult(picture.image, np.clip(alpha, 0, 1), trimap=trimap, source=picture.source, notes=notes)


def _trimap(picture: Picture, call: Call) -> np.ndarray | None:
    """That of the call, of this picture or for all: (H, W) float32, of a tile its part; None if there is none."""
    return part_beside(picture, 'trimap', lambda: _whole_trimap(picture, call))


def _whole_trimap(picture: Picture, call: Call) -> np.ndarray | None:
    name = 'trimap' if call.options['mask'] is None else 'mask'
    values = map_beside(picture, call.options[name], name, read_alpha)
    if values is None:
        return None
    if name == 'trimap':
        return three_levels(values)
    mask, width = values > .5, call.options['width']
    return trimap_of(mask, width_for(mask) if width is None else width)

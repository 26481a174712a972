"""Restoration: a better picture, of the same size or enlarged, or one whose holes are filled."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import cv2
import numpy as np

from ...datasets.restoration.matlab_resize import matlab_resize
from ...datasets.restoration.names import FORMS, name_forms
from ...images import ImageSource, read_deep, read_image
from ...visualization.before_after import draw_before_after
from ...visualization.legend import percent_text
from ..beside import MASK, map_beside, part_beside
from ..files import Artifact, save_artifacts
from ..result import Result, Row, Table
from ..task import Argument, Call, Picture, PredictionError, Task

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.structures import BaseDataElement
    from torch import nn

    from ...evaluation.fidelity import Protocol
    from ..task import Tile


class Figures(NamedTuple):
    """How near a picture is to the true one.

    Attributes:
        psnr: In dB; infinite where the two are equal.
        ssim: At most 1; None of a picture that is too small for it.
        hole_psnr: That of what was filled alone; None where nothing was.
    """

    psnr: float
    ssim: float | None
    hole_psnr: float | None = None

    def __str__(self) -> str:
        in_holes = [] if self.hole_psnr is None else [f'in holes {self.hole_psnr:.2f} dB']
        return ', '.join([f'{self.psnr:.2f} dB', *([] if self.ssim is None else [f'SSIM {self.ssim:.4f}']), *in_holes])


@dataclass(frozen=True, eq=False, repr=False)
class RestorationResult(Result):
    """A picture that a model restored.

    Attributes:
        restored: (scale * H, scale * W, 3) RGB, of the type of the picture that was given: uint8 or uint16.
        reference: The true picture, of the same size, uint8 or uint16; None where it is not known.
        holes: (H, W) bool, what was filled; elsewhere the picture is as it was given. None of a model that fills none.
        image, source, notes: See `Result`.

    Raises:
        ValueError: The restored picture is not a whole number of times as large as the picture, or the true one or the
            holes have another size.
    """

    task: ClassVar[str] = 'restoration'
    restored: np.ndarray
    reference: np.ndarray | None = field(default=None, kw_only=True)
    holes: np.ndarray | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        height, width = self.image_size
        scale = self.restored.shape[0] // height
        if self.restored.shape != (scale * height, scale * width, 3):
            raise ValueError(f'a restored picture of {self.restored.shape} does not fit one of {self.image.shape}')
        if self.reference is not None and self.reference.shape != self.restored.shape:
            raise ValueError(f'the true picture has {self.reference.shape[1]}x{self.reference.shape[0]} pixels and the '
                             f'restored one {scale * width}x{scale * height}: give one of its size')
        if self.holes is not None and self.holes.shape != self.image_size:
            raise ValueError(f'holes of a picture of {self.image_size} pixels have the shape {self.holes.shape}')

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

    @cached_property
    def protocol(self) -> Protocol:
        """How papers compare pictures of this scale: luma without a border as wide as the scale; at 1, RGB."""
        from ...evaluation.fidelity import Protocol
        return Protocol(self.scale, y_channel=True) if self.scale > 1 else Protocol()

    @cached_property
    def figures(self) -> Figures | None:
        """PSNR and SSIM against the reference by `protocol`; None without one."""
        return None if self.reference is None else self._figures(self.restored)

    @cached_property
    def figures_before(self) -> Figures | None:
        """The same of what there is without a model.

        That is the picture that was given; at a scale above 1, its bicubic interpolation (MATLAB's); and where holes
        were filled, what Telea's method makes of them (``cv2.inpaint``, radius 3).
        """
        if self.reference is None:
            return None
        if self.holes is not None:
            return self._figures(cv2.inpaint(self.image, self.holes.astype(np.uint8), 3, cv2.INPAINT_TELEA))
        return self._figures(self.image if self.scale == 1 else matlab_resize(self.image, self.scale))

    @property
    def _baseline(self) -> str:
        """What `figures_before` are of."""
        return 'cv2.inpaint' if self.holes is not None else 'bicubic' if self.scale > 1 else 'given'

    def _figures(self, picture: np.ndarray) -> Figures:
        from ...evaluation.fidelity import SSIM_WINDOW, psnr, ssim
        pair = _of_one_depth(picture, self.reference)
        is_large = min(picture.shape[:2]) - 2 * self.protocol.crop_border >= SSIM_WINDOW
        in_holes = None
        if self.holes is not None and self.holes.any():
            in_holes = psnr(*pair, *self.protocol, where=self.holes)
        return Figures(psnr(*pair, *self.protocol), ssim(*pair, *self.protocol) if is_large else None, in_holes)

    def _pair(self, reference: ImageSource) -> tuple[np.ndarray, np.ndarray]:
        return _of_one_depth(self.restored, read_deep(reference).pixels)

    def _border(self, crop_border: int | None) -> int:
        return crop_border if crop_border is not None else self.scale if self.scale > 1 else 0

    def draw(self, *, detail: bool = True) -> np.ndarray:
        """The picture beside the restored one and, below, the part of both that has changed most, magnified.

        With a reference, it is the third panel, and a line below has the figures. Holes are white in the first.

        Args:
            detail: Whether that part is shown.
        """
        true = None if self.reference is None else _eight_bits(self.reference)
        captions = ()
        if self.reference is not None:
            before = f'{self._baseline}: {self.figures_before}'
            captions = (before if self._baseline == 'given' else f'given ({before})', f'restored: {self.figures}',
                        f'true ({self.protocol})')
        given = self.image if self.holes is None else np.where(self.holes[..., None], np.uint8(255), self.image)
        return draw_before_after(given, _eight_bits(self.restored), detail, true, captions)

    def table(self) -> Table:
        """The sizes before and after, with the figures of both where there is a reference."""
        sizes = self.image_size, self.restored.shape[:2]
        cells = [(name, f'{width:,}', f'{height:,}') for name, (height, width) in zip(
            ('given', 'restored'), sizes, strict=True)]
        columns = ('picture', 'width', 'height')
        if self.holes is not None:
            columns += ('filled', )
            cells = [cells[0] + ('', ), cells[1] + (percent_text(float(self.holes.mean())), )]
        if self.reference is not None:
            named = self.figures._fields[:None if self.holes is not None else 2]
            columns += tuple(f'{self.protocol}/{_NAMES[name]}' for name in named)
            if self._baseline != 'given':  # a small picture, or one with holes, has no figures of its own
                cells.insert(1, (self._baseline, *cells[1][1:]))
                cells[0] += ('', ) * len(named)
            for index, figures in ((-2, self.figures_before), (-1, self.figures)):
                values = (getattr(figures, name) for name in named)
                cells[index] += tuple('' if value is None else f'{value:.{4 if name == "ssim" else 2}f}'
                                      for name, value in zip(named, values, strict=True))
        return Table(columns, tuple(map(Row, cells)))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, in types that JSON knows; the PSNR of equal pictures, infinite, is None."""
        height, width = self.restored.shape[:2]
        more = {}
        if self.holes is not None:
            more = dict(filled=float(self.holes.mean()))
        if self.reference is not None:
            more |= dict(reference=dict(protocol=str(self.protocol), **{
                name: {_NAMES[key]: value if value is None or np.isfinite(value) else None
                       for key, value in figures._asdict().items() if key != 'hole_psnr' or self.holes is not None}
                for name, figures in ((self._baseline, self.figures_before), ('restored', self.figures))}))
        return super().to_dict() | dict(scale=self.scale, restored_size=dict(height=height, width=width), **more)

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
        # A config that does not keep the depth puts pictures on white. Those of 16 bits, restored as 8, are then
        # written without their alpha; those of 8 bits cannot be told from others here and keep it all the same.
        if alpha is None or alpha.dtype != self.restored.dtype:
            return pixels
        alpha = matlab_resize(alpha, self.scale)
        # Nothing here writes grey of 16 bits with alpha.
        colors = pixels[..., None] if self.restored.dtype == np.uint8 and pixels.ndim == 2 else self.restored
        return np.concatenate([colors, alpha[..., None]], 2)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f'RestorationResult({height}x{width} to {self.restored.shape[0]}x{self.restored.shape[1]})'


# Of figures, as metrics are called.
_NAMES = dict(psnr='PSNR', ssim='SSIM', hole_psnr='hole_PSNR')


def _of_one_depth(restored: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if restored.dtype == true.dtype:
        return restored, true
    return _eight_bits(restored), _eight_bits(true)


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
    files = {'.restored.png': None}
    needs_classes = False
    can_tile = True
    whole_picture = False  # tiles show all that there is
    options = dict(reference=None, mask=None)
    arguments = (
        MASK,
        Argument('--reference', 'predict', dict(
            metavar='PATH', help='restoration: the true picture, or a folder of those with the names of the pictures, '
            'for PSNR and SSIM')), )
    schemes = dict(spandrel=spandrel_config)
    help = """restoration writes, beside the picture before and after with a magnified detail outputs/old.jpg:
  outputs/old.jpg.restored.png  the restored picture; where holes were filled (--mask), as it was elsewhere
  outputs/old.jpg.json          (--json) scale, restored_size and, with --reference, PSNR and SSIM"""
    examples = """
  {prog} old.jpg --model spandrel:DCTLSA_X4.pt"""

    def max_pixels(self, model: nn.Module, num_classes: int) -> None:
        """No picture is shrunk: each of its pixels is wanted."""

    def check(self, call: Call) -> None:
        """See that the reference and the mask are there, and that the model takes one."""
        for name in ('reference', 'mask'):
            given = call.options.get(name)
            if isinstance(given, list | tuple):
                raise ValueError(f"{name} is a list: give a dictionary by the names of the pictures' files, "
                                 f"{name}={{'a.png': ...}}; pictures in memory predict one by one, each with its own")
            if isinstance(given, str | os.PathLike) and not Path(given).expanduser().exists():
                raise ValueError(f'{name}={given}: there is no such picture or folder; check the path')
        if call.options.get('mask') is not None and 'mask' not in call.takes:
            raise ValueError('the model fills no holes, so that a mask is of no use to it: leave mask (--mask) out, or '
                             'take a model that does (densevit.MAT)')

    def sample(self, photograph: Path, folder: Path, model: nn.Module) -> tuple[Path, dict[str, Any]]:
        """The photograph at half size, which a model of scale 2 makes as large as it was: then it is the reference.

        A model that fills holes is given the photograph and some holes.
        """
        scale = getattr(model, 'scale', 1)
        pixels = read_image(photograph)
        if 'mask' in getattr(model, 'takes', ()):
            from ...datasets.restoration.holes import Holes
            return photograph, dict(mask=Holes(.15).draw(pixels.shape[:2], np.random.default_rng(0)), reference=pixels)
        true = pixels[:pixels.shape[0] // 2 * 2, :pixels.shape[1] // 2 * 2]
        target = folder / 'given' / f'{photograph.stem}.png'
        save_artifacts([Artifact('', lambda: matlab_resize(true, .5))], target)
        return target, dict(reference=true) if scale == 2 else {}

    def tell(self, sample: BaseDataElement, picture: Picture, call: Call) -> None:
        """Give the model the mask of a picture or, of a tile, its part; see that a picture has the true one first."""
        if picture.corner == (0, 0) and not picture.is_probe:
            _reference_of(picture, call)
        if 'mask' not in call.takes:
            return
        holes = _holes(picture, call)
        if holes is None:
            raise ValueError('the model fills holes and is not told where: give mask= (--mask), a picture of the same '
                             'size that is white where it is to be filled')
        import torch

        sample.mask = torch.from_numpy(picture.canvas.lay(holes))[None]

    def check_tiles(
        self,
        picture: Picture,
        size: tuple[int, int],
        corners: Sequence[tuple[int, int]],
        call: Call,
    ) -> None:
        """See that no tile is all hole: a model that fills holes would give it one colour of its own."""
        holes = _holes(picture, call) if 'mask' in call.takes else None
        if holes is None:
            return
        height, width = size
        for top, left in corners:
            if holes[top:top + height, left:left + width].all():
                raise ValueError(f'the mask marks all of the tile of {width}x{height} pixels at ({left}, {top}), so '
                                 'that there is nothing to fill it from: give tiles larger than the holes (--tiles), '
                                 'or leave tiles out')

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> RestorationResult:
        """The restored picture; a grey one stays grey."""
        restored = sample.get('pred_img')
        if restored is None:
            raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a model of restoration '
                                  'gives pred_img')
        scale = max(1, restored.shape[-2] // picture.canvas.image.shape[0])
        restored = picture.canvas.restore(restored.float(), 'bilinear', scale)
        if len(restored) == 1 or _is_grey(_given(picture)):  # of 16 bits, colours may differ by less than shows in 8
            restored = restored.mean(0, keepdim=True).expand(3, -1, -1)
        dtype = picture.canvas.image.dtype
        values = restored.clamp(0, 1).mul(np.iinfo(dtype).max).round().cpu().numpy().transpose(1, 2, 0).astype(dtype)
        if 'mask' in call.takes and (holes := _holes(picture, call)) is not None:
            # Whatever the type of the model, what is not filled is as it was.
            values = np.where(holes[..., None], values, _given(picture))
        return _result(np.ascontiguousarray(values), picture, call)

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
        return _result(canvas.finish(), picture, call)


def _holes(picture: Picture, call: Call) -> np.ndarray | None:
    """What is to be filled of a picture or a tile, (H, W) bool; None if nobody says.

    Raises:
        ValueError: There is nothing to fill the picture from, or the mask does not fit.
    """
    return part_beside(picture, 'holes', lambda: _whole_holes(picture, call))


def _whole_holes(picture: Picture, call: Call) -> np.ndarray | None:
    values = map_beside(picture, call.options.get('mask'), 'mask')
    if values is None:
        return None
    if (holes := values > .5).all():
        raise ValueError('the mask marks all of the picture, so that there is nothing to fill it from: leave some of '
                         'it black')
    return holes


def _given(picture: Picture) -> np.ndarray:
    """The picture as the model was given it, (H, W, 3) RGB of its own type."""
    height, width = picture.canvas.content
    pixels = picture.canvas.image[:height, :width]
    if picture.canvas.is_shrunk:
        if picture.unshrunk is None:
            return picture.image
        pixels = picture.unshrunk
    return pixels[..., None].repeat(3, 2) if pixels.ndim == 2 else pixels[..., ::-1]


def _result(restored: np.ndarray, picture: Picture, call: Call) -> RestorationResult:
    reference, holes, notes = None, None, picture.notes
    if picture.tile_of is not None:  # of tiles the pixels alone are joined
        return RestorationResult(picture.image, restored, source=picture.source, notes=notes)
    if 'mask' in call.takes:
        holes = _holes(picture, call)
    if holes is not None and not holes.any():
        notes = (*notes, 'the mask marks nothing, so that the picture is as it was: what is to be filled is white')
    if (source := _reference_of(picture, call)) is not None:
        try:
            reference = _true_picture(source, restored.shape[:2], restored.shape[0] // picture.image.shape[0])
        except ValueError as error:  # what was restored is not lost for it
            notes = (*notes, f'no figures: {error}')
    return RestorationResult(picture.image, restored, reference=reference, holes=holes, source=picture.source,
                             notes=notes)


def _true_picture(source: ImageSource, size: Sequence[int], scale: int) -> np.ndarray:
    """The true picture of one that was restored to (height, width).

    Raises:
        ValueError: It cannot be read or compared.
    """
    true = read_deep(source).pixels
    # Papers crop true pictures, of which small ones are made, to a whole number of times the small ones.
    if all(0 <= more < scale for more in np.subtract(true.shape[:2], size)):
        true = true[:size[0], :size[1]]
    if true.shape[:2] != tuple(size):
        raise ValueError(f'the true picture has {true.shape[1]}x{true.shape[0]} pixels and the restored one '
                         f'{size[1]}x{size[0]}: give one of its size')
    if scale > 1 and min(size) <= 2 * scale:
        raise ValueError(f'a restored picture of {size[1]}x{size[0]} pixels has nothing within the border of {scale} '
                         'to compare')
    return true


def _reference_of(picture: Picture, call: Call) -> ImageSource | None:
    """That of the call, of this picture or for all; None if there is none.

    Raises:
        ValueError: A folder has none for the picture, or several.
    """
    given = call.options.get('reference')
    if isinstance(given, Mapping):
        names = () if picture.source is None else (picture.source, str(picture.source), picture.source.name)
        return next((given[name] for name in names if name in given), None)
    if not isinstance(given, str | os.PathLike) or not (folder := Path(given).expanduser()).is_dir():
        return given
    stem = '' if picture.source is None else picture.source.stem
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith('.'))
    found: list[Path] = []
    for own, other in FORMS:
        found = found or [file for file in files if name_forms(file.stem)[own] == name_forms(stem)[other]]
    if len(found) != 1:
        raise ValueError(f'{folder} has {"several true pictures" if found else "no true picture"} for '
                         f'{picture.source or "a picture in memory"}: name one as the picture is named')
    return found[0]


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

"""Depth: metres for each pixel, with the camera that makes points of them."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from PIL import Image

from ...datasets.depth.camera import as_camera, camera_of_film, camera_of_view, focal_length, scaled, to_points
from ...datasets.depth.depth_files import depth_npy, depth_pfm, depth_png
from ...visualization.depth_colors import draw_depth
from ..files import Artifact
from ..result import Result, Row, Table
from ..task import Argument, Call, Picture, PredictionError, Task, Tile
from ..tiling import fading

if TYPE_CHECKING:
    from mmengine.structures import BaseDataElement
    from torch import nn

DepthKind = Literal['metric', 'relative_depth', 'relative_disparity']

_MAX_PIXELS = 2**25  # a map of 4 bytes a pixel and its points; pipelines resize
_VIEW = 60.  # degrees along the longer side where nothing tells the camera, as in the options of the model
_EXIF, _FILM_FOCAL = 0x8769, 0xA405  # the tags of EXIF's folder, and of the focal length for 35 mm film
_MILLIMETRES, _KITTI = 1000., 256.  # values per metre of 16-bit files: up to 65.5 m, and up to 256 m
_LEAST = 1e-6  # of a disparity that is divided by


class Camera(NamedTuple):
    """The camera of a picture.

    Attributes:
        numbers: ``fx, fy, cx, cy`` (4,) in pixels of the picture.
        origin: Whether it was given, is told by the file's EXIF data, or is presumed.
    """

    numbers: np.ndarray
    origin: Literal['given', 'exif', 'presumed']

    @property
    def matrix(self) -> np.ndarray:
        """K, (3, 3)."""
        fx, fy, cx, cy = self.numbers
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


@dataclass(frozen=True, eq=False, repr=False)
class DepthResult(Result):
    """The depth of each pixel of one picture.

    Attributes:
        values: (H, W) float32, as the model gives them, in the unit of ``kind``.
        kind: ``'metric'``: metres. ``'relative_depth'``: depth up to a scale. ``'relative_disparity'``: inverse depth
            up to a scale and a shift. `calibrate` makes metres of the last two.
        camera: What makes points of depth.
        sky: (H, W) bool, where the model sees sky; None of models that do not tell.
        image, source, notes: See `Result`.

    Raises:
        ValueError: Sizes differ.
    """

    task: ClassVar[str] = 'depth'
    values: np.ndarray
    kind: DepthKind
    camera: Camera
    sky: np.ndarray | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ('values', 'sky'):
            data = getattr(self, name)
            if data is not None and data.shape != self.image_size:
                raise ValueError(f'{name} of a picture of {self.image_size} pixels have the shape {data.shape}')

    @property
    def depth(self) -> np.ndarray:
        """(H, W) float32 metres along the optical axis.

        Raises:
            ValueError: The model knows no metres, and the result is not calibrated.
        """
        if self.kind != 'metric':
            raise ValueError(f'the model gives {self.kind.replace("_", " ")}, not metres: calibrate(known distances) '
                             'makes metres of it, and values has what it gives')
        return self.values

    @property
    def disparity(self) -> np.ndarray:
        """(H, W) float32 inverse depth, larger where nearer: 1 / metres, or up to a scale and a shift."""
        return self.values if self.kind == 'relative_disparity' else 1 / np.maximum(self.values, np.float32(_LEAST))

    def points(self) -> np.ndarray:
        """(H, W, 3) float32 metres in the camera's frame: x to the right, y down, z away.

        Raises:
            ValueError: There are no metres, see `depth`.
        """
        return to_points(self.depth, self.camera.numbers)

    def calibrate(self, known: Sequence[tuple[float, float, float]]) -> DepthResult:
        """The result in metres, by distances that are known.

        Metres are scaled by the median ratio, and so is relative depth. Relative disparity needs two pixels or more, of
        different depth: its scale and shift are those that fit the inverse distances best in the mean square.

        Args:
            known: ``(x, y, metres)`` of some pixels, column and row from the top left, from 0.

        Raises:
            ValueError: Too few distances, one is not positive or outside of the picture, or they contradict the order
                of the prediction.
        """
        height, width = self.image_size
        points = [(int(x), int(y), float(metres)) for x, y, metres in known]
        for x, y, metres in points:
            if not (0 <= x < width and 0 <= y < height and metres > 0):
                raise ValueError(f'({x}, {y}, {metres:g}): give a column from 0 to {width - 1}, a row from 0 to '
                                 f'{height - 1} and a distance above 0')
        found = np.array([self.values[y, x] for x, y, _ in points], np.float64)
        metres = np.array([metres for *_, metres in points])
        if self.kind == 'relative_disparity':
            values = _from_disparity(self.values, found, metres)
        elif len(points) == 0 or (found <= 0).any():
            raise ValueError('give at least one known distance, at a pixel whose predicted depth is above 0')
        else:
            values = self.values * np.float32(np.median(metres / found))
        notes = [*self.notes, f'calibrated by {len(points)} known distances']
        if self.kind != 'metric' and self.camera.origin == 'presumed':  # there are points from here on
            notes.append(_points_note(np.degrees(2 * np.arctan(max(height, width) / 2 / self.camera.numbers[0]))))
        return replace(self, values=values, kind='metric', notes=tuple(notes))

    def draw(self, *, near: float | None = None, far: float | None = None, legend: bool = True) -> np.ndarray:
        """The depth in colours, near ones bright, with a bar in metres; relative depth in shares of the farthest.

        Args:
            near, far: What is brightest and darkest, in the unit of ``values``; chosen by the picture if None.
            legend: Add the bar.

        Raises:
            ValueError: ``near`` and ``far`` are not in this order, or no depth.
        """
        if self.kind == 'metric':
            return draw_depth(self.values, near, far, legend, 'm')
        if self.kind == 'relative_depth':
            farthest = max(float(np.percentile(self.values, 99)), _LEAST)
            near, far = (None if given is None else given / farthest for given in (near, far))
            return draw_depth(self.values / farthest, near, far, legend, '')
        if near is not None and far is not None and near <= far:
            raise ValueError(f'near={near} and far={far}: disparity is larger where nearer, so that near is the '
                             'larger one')
        least, most = (chosen if given is None else given for chosen, given in zip(
            np.percentile(self.values, (1, 99)), (far, near), strict=True))
        # From 1, the nearest, to 10, since where zero disparity lies is not known.
        nearness = np.clip((self.values - least) / max(most - least, _LEAST), 0, 1)
        ends = (None, None) if near is None and far is None else (1., 10.)
        return draw_depth((1 / (.1 + .9 * nearness)).astype(np.float32), *ends, legend, '')

    def table(self) -> Table:
        """Nearest, median and farthest: the 1st, 50th and 99th percentile, of what is no sky."""
        unit = {'metric': 'metres', 'relative_depth': 'relative depth', 'relative_disparity': 'relative disparity'}
        return Table(('depth', unit[self.kind]), tuple(
            Row((name, f'{value:.2f}' if self.kind == 'metric' else f'{value:.3g}'))
            for name, value in self._parts().items()))

    def _parts(self) -> dict[str, float]:
        """Nearest, median and farthest value."""
        values = self.values if self.sky is None or self.sky.all() else self.values[~self.sky]
        parts = np.percentile(values, (99, 50, 1) if self.kind == 'relative_disparity' else (1, 50, 99))
        return dict(zip(('nearest', 'median', 'farthest'), parts, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """``kind``, ``nearest``, ``median`` and ``farthest`` as in `table`, the ``camera`` and where it is from.

        ``depth_png_scale`` is how many values of the 16-bit PNG are a metre.
        """
        fx, fy, cx, cy = map(float, self.camera.numbers)
        return super().to_dict() | dict(
            kind=self.kind, **{name: float(f'{value:.6g}') for name, value in self._parts().items()},
            camera=dict(fx=fx, fy=fy, cx=cx, cy=cy, origin=self.camera.origin),
            depth_png_scale=self.png_scale if self.kind == 'metric' else None)

    @property
    def png_scale(self) -> float:
        """Values of the 16-bit PNG per metre: 1000, or 256 where that would not hold the farthest metre."""
        return _MILLIMETRES if self.values.max() * _MILLIMETRES <= np.iinfo(np.uint16).max else _KITTI

    def artifacts(
        self,
        *,
        near: float | None = None,
        far: float | None = None,
        legend: bool = True,
        png16: bool = False,
        npy: bool = False,
        pfm: bool = False,
        ply: bool = False,
    ) -> list[Artifact]:
        """The picture of `draw` and, if asked for, the depth as data.

        Args:
            near, far, legend: See `draw`.
            png16: Write ``<name>.depth.png``: 16 bits, of `png_scale` values per metre, 0 where that does not suffice.
            npy, pfm: Write ``<name>.npy``, ``<name>.pfm``: ``values`` as float32.
            ply: Write ``<name>.ply``: the points with their colours.
        """
        files = [Artifact('', partial(self.draw, near=near, far=far, legend=legend))]
        if png16:
            files.append(Artifact('.depth.png', lambda: depth_png(self.depth, self.png_scale)))
        if npy:
            files.append(Artifact('.npy', lambda: depth_npy(self.values)))
        if pfm:
            files.append(Artifact('.pfm', lambda: depth_pfm(self.values)))
        if ply:
            files.append(Artifact('.ply', self.to_ply))
        return files

    def to_ply(self) -> bytes:
        """The points with their colours as the content of a PLY file, in metres, y down and z away; without the sky."""
        points, colors = self.points(), self.image
        keep = np.isfinite(points).all(-1) & (points[..., 2] > 0)
        if self.sky is not None:
            keep &= ~self.sky
        vertices = np.empty(int(keep.sum()), [(axis, '<f4') for axis in 'xyz'] + [
            (color, 'u1') for color in ('red', 'green', 'blue')])
        for index, axis in enumerate('xyz'):
            vertices[axis] = points[keep][:, index]
        for index, color in enumerate(('red', 'green', 'blue')):
            vertices[color] = colors[keep][:, index]
        header = ['ply', 'format binary_little_endian 1.0', 'comment densevit', f'element vertex {len(vertices)}',
                  *(f'property float {axis}' for axis in 'xyz'),
                  *(f'property uchar {color}' for color in ('red', 'green', 'blue')), 'end_header']
        return ('\n'.join(header) + '\n').encode() + vertices.tobytes()

    def __repr__(self) -> str:
        height, width = self.image_size
        nearest, _, farthest = (row.cells[1] for row in self.table().rows)
        return f'DepthResult({height}x{width}, {self.kind}, {nearest} to {farthest})'


def _from_disparity(values: np.ndarray, found: np.ndarray, metres: np.ndarray) -> np.ndarray:
    """Metres (H, W) of disparities, by those that were found at known metres."""
    if len(found) < 2 or np.ptp(found) == 0:
        raise ValueError('disparity has a scale and a shift: give two known distances or more, of different depth')
    scale, shift = np.polyfit(found, 1 / metres, 1)
    if scale <= 0:
        raise ValueError('the known distances grow where the prediction says nearer: check columns and rows (x, y)')
    # What lies behind all that disparity tells is as far as 1000 times the farthest known distance.
    return (1 / np.maximum(scale * values + shift, 1 / (1000 * metres.max()))).astype(np.float32)


class Depth(Task):
    """Depth of models of ours and of mmsegmentation's."""

    names = ('depth', )
    fields = ('pred_depth_map', )
    files = {'.depth.png': 'png16', '.npy': 'npy', '.pfm': 'pfm', '.ply': 'ply'}
    needs_classes = False
    options = dict(focal=None, K=None)
    can_tile = True
    arguments = (
        Argument('--focal', 'predict', dict(
            type=float, metavar='PIXELS', help='depth: focal length in pixels of the pictures, where their files do '
            'not tell it')),
        Argument('--near', 'save', dict(type=float, metavar='METRES', help='depth: what is brightest')),
        Argument('--far', 'save', dict(type=float, metavar='METRES', help='depth: what is darkest')),
        Argument('--png16', 'save', dict(
            action='store_const', const=True, help='depth: write PNG of 16 bits, values per metre as the JSON says')),
        Argument('--npy', 'save', dict(action='store_const', const=True, help="depth: write NumPy's float32")),
        Argument('--pfm', 'save', dict(action='store_const', const=True, help='depth: write PFM')),
        Argument('--ply', 'save', dict(action='store_const', const=True, help='depth: write points with colours')))
    help = """depth writes, beside the picture in colours outputs/room.jpg:
  outputs/room.jpg.json       (--json) "kind", "nearest", "median", "farthest", "camera", "depth_png_scale"
  outputs/room.jpg.depth.png  (--png16), outputs/room.jpg.npy, .pfm, .ply  (--npy, --pfm, --ply)"""
    examples = """
  {prog} room.jpg --model dpt_tiny_indoor --png16 --ply --focal 520"""

    def max_pixels(self, model: nn.Module, num_classes: int) -> int:
        return _MAX_PIXELS

    def check(self, call: Call) -> None:
        """See that focal lengths and matrices are such; keys of a dictionary are the names of files."""
        focal, matrix = (call.options[name] for name in ('focal', 'K'))
        if focal is not None and matrix is not None:
            raise ValueError('focal and K both tell the focal length: give one of them')
        given = focal if matrix is None else matrix
        for value in given.values() if isinstance(given, Mapping) else () if given is None else (given, ):
            as_camera(value, (1, 1))

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> DepthResult:
        """The map of a sample, at the camera of the picture."""
        if 'pred_depth_map' not in sample:
            raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a model of depth gives '
                                  'pred_depth_map')
        maps, canvas, notes = sample.pred_depth_map, picture.canvas, list(picture.notes)
        values = canvas.restore(maps.data.float(), 'bilinear')[0].cpu().numpy()
        size = picture.image.shape[:2]
        kind, camera = maps.get('kind', 'metric'), _camera(picture, call)
        if (used := maps.get('focal')) is not None:  # of the canvas, in whose pixels the model has its metres
            across, down = (new / old for new, old in zip(size[::-1], canvas.content[::-1], strict=True))
            if camera is None:
                # A model that presumes a view does so of a tile, too, as if it were a picture.
                camera = _presumed(picture, call) if 'fov' in call.in_force else Camera(
                    scaled(as_camera(used, canvas.content), across, down), 'presumed')
                notes.append(f'no focal length is known: a view of {_view(call):g} degrees is '
                             'presumed, and metres grow with the focal length; give focal= (--focal)')
            values = values * np.float32(focal_length(camera.numbers) / (used * np.sqrt(across * down)))
        if camera is None:
            camera = _presumed(picture, call)
            if kind == 'metric':
                notes.append(_points_note(_view(call)))
        sky = sample.get('pred_sky')
        if sky is not None:
            sky = canvas.restore(sky.data)[0].cpu().numpy()
        return DepthResult(picture.image, values, kind, camera, sky=sky, source=picture.source,
                           notes=tuple(notes))

    def merge(self, tiles: Iterator[Tile], picture: Picture, call: Call) -> DepthResult:
        """Tiles as one map: each aligned by least squares to what is known where it lies, and faded into the others.

        That is the whole picture, seen from afar, which knows how far away things are where tiles see the detail;
        without it, the tiles before, whose first then tells the scale. Depth gets a scale, that of logarithms, and
        disparity a scale and a shift.
        """
        size = picture.image.shape[:2]
        total, weights = np.zeros(size, np.float32), np.zeros(size, np.float32)
        sky = np.zeros(size, bool)
        whole: DepthResult | None = None
        result = None
        for result, top, left in tiles:
            if result.image_size == size:
                whole = result
                continue
            height, width = result.image_size
            part = np.s_[top:top + height, left:left + width]
            reference, known = (total[part] / np.maximum(weights[part], _LEAST), weights[part] > 0) if whole is None \
                else (whole.values[part], np.ones(result.image_size, bool))
            values = align_tile(result.values, reference, known, result.kind)
            weight = fading(height, width)
            total[part] += weight * values
            weights[part] += weight
            if result.sky is not None:
                sky[part] |= result.sky
        camera = _camera(picture, call) or (_presumed(picture, call) if whole is None else whole.camera)
        notes = dict.fromkeys((*picture.notes, *(result if whole is None else whole).notes))
        return DepthResult(picture.image, total / weights, result.kind, camera, source=picture.source,
                           sky=None if result.sky is None else sky, notes=tuple(notes))


def align_tile(values: np.ndarray, reference: np.ndarray, known: np.ndarray, kind: DepthKind) -> np.ndarray:
    """Values (h, w) of a tile, brought nearest to those of a reference where it is known, in the mean square.

    Args:
        values, reference: Of the kind.
        known: (h, w) bool; where nothing is, the values stay.
        kind: Depth is multiplied, so that the logarithms agree; disparity also gets a shift.
    """
    if kind == 'relative_disparity':
        x, y = values[known].astype(np.float64), reference[known].astype(np.float64)
        if len(x) < 2 or np.ptp(x) == 0:
            return values
        scale, shift = np.polyfit(x, y, 1)
        # A tile of little depth may fit best upside down: then its mean alone is right.
        return scale * values + shift if scale > 0 else values + (y.mean() - x.mean())
    known = known & (values > 0) & (reference > 0)
    if not known.any():
        return values
    return values * np.float32(np.exp(np.mean(np.log(reference[known] / values[known]))))


def _camera(picture: Picture, call: Call) -> Camera | None:
    """That of the call, for this picture or for all; else that of the file; None if neither knows it."""
    size, source = _whole_size(picture), picture.source
    given = call.options['focal'] if call.options['K'] is None else call.options['K']
    if isinstance(given, Mapping):
        names = () if source is None else (source, str(source), source.name)
        given = next((given[name] for name in names if name in given), None)
    if given is not None:
        return _of_part(as_camera(given, size), 'given', picture)
    millimetres = _film_focal(source)
    return None if millimetres is None else _of_part(camera_of_film(millimetres, size), 'exif', picture)


def _presumed(picture: Picture, call: Call) -> Camera:
    return _of_part(camera_of_view(_view(call), _whole_size(picture)), 'presumed', picture)


def _view(call: Call) -> float:
    """The degrees that are presumed: of the call, else of the model's config."""
    return call.given.get('fov', call.in_force.get('fov', _VIEW))


def _whole_size(picture: Picture) -> tuple[int, int]:
    return picture.image.shape[:2] if picture.tile_of is None else picture.tile_of


def _of_part(numbers: np.ndarray, origin: str, picture: Picture) -> Camera:
    """The camera of a picture, for the tile of it that this may be."""
    top, left = picture.corner
    return Camera(scaled(numbers, 1, 1, left, top), origin)


def _points_note(degrees: float) -> str:
    return (f'no focal length is known: a view of {degrees:.3g} degrees is presumed, by which points spread sideways; '
            'give focal= (--focal)')


def _film_focal(source: Path | None) -> float | None:
    """The focal length for 35 mm film that a file's EXIF data tells, in millimetres."""
    if source is None:
        return None
    try:
        with Image.open(source) as image:
            value = float(image.getexif().get_ifd(_EXIF).get(_FILM_FOCAL, 0))
    except Exception:  # of formats that Pillow does not know
        return None
    return value if value > 0 else None

"""Depth that is predicted: cameras, points, calibration, files, colours, video."""
from __future__ import annotations

import json
import weakref

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image

from densevit.datasets.depth.depth_files import read_depth
from densevit.inference.files import OutputError
from densevit.inference.predictor import Predictor
from densevit.inference.tasks.depth import Camera, DepthResult
from densevit.inference.tasks.depth_video import stabilise
from densevit.registry import MODELS
from densevit.visualization.depth_colors import bar_numbers, depth_range, draw_depth

PIPELINE = [dict(type='densevit.LoadImage'), dict(type='densevit.PackDepth')]


class Brightness(BaseModel):
    """As far as a picture is bright, 10 m where it is white; of a focal length of 100 pixels, if it reads one."""
    task = 'depth'

    def __init__(self, kind='metric', focal=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1, ), 10.))
        self.kind, self.focal = kind, focal

    def forward(self, inputs, data_samples=None, mode='tensor', options=None):
        for image, sample in zip(inputs, data_samples, strict=True):
            meta = dict(kind=self.kind) if self.focal is None else dict(kind=self.kind, focal=self.focal)
            sample.pred_depth_map = PixelData(
                metainfo=meta, data=self.weight * image.float().mean(0, keepdim=True) / 255)
        return data_samples


def predictor(**options) -> Predictor:
    return Predictor(Brightness(**options), Config(dict(default_scope='mmengine', test_pipeline=PIPELINE)))


def ramp(height=40, width=50) -> np.ndarray:
    """From 2 m at the left to 8 m at the right."""
    return np.repeat(np.linspace(51, 204, width).astype(np.uint8)[None, :, None], height, 0).repeat(3, 2)


def result(values, kind='metric', **more) -> DepthResult:
    values = np.asarray(values, np.float32)
    camera = Camera(np.array([50., 50., 24.5, 19.5]), 'given')
    return DepthResult(np.full((*values.shape, 3), 99, np.uint8), values, kind, camera, **more)


def test_predict__depth_in_metres():
    found = predictor().predict(ramp())
    assert found.depth.shape == (40, 50) and found.depth.dtype == np.float32
    assert found.depth[0, 0] == pytest.approx(2.) and found.depth[-1, -1] == pytest.approx(8.)
    assert found.camera.origin == 'presumed' and found.task == 'depth'
    assert 'view of 60 degrees is presumed, by which points spread' in found.notes[0]
    assert not predictor().predict(ramp(), focal=50.).notes
    assert not predictor(kind='relative_depth').predict(ramp()).notes
    assert repr(found).startswith('DepthResult(40x50, metric, 2.')
    with pytest.raises(TypeError, match="no option 'min_score': choose of max_pixels, .*focal, K"):
        predictor().predict(ramp(), min_score=.3)


def test_predict__focal_lengths(tmp_path):
    """Metres of models that read a focal length grow with it; a file may tell it, and a call wins."""
    model = predictor(focal=100.)
    presumed = model.predict(ramp())
    assert presumed.depth[0, 0] == pytest.approx(2.) and 'no focal length is known' in presumed.notes[0]
    given = model.predict(ramp(), focal=250.)
    assert given.depth[0, 0] == pytest.approx(5.) and given.camera.origin == 'given' and not given.notes
    matrix = [[200, 0, 20], [0, 200, 10], [0, 0, 1]]
    of_matrix = model.predict(ramp(), K=matrix)
    assert of_matrix.depth[0, 0] == pytest.approx(4.) and of_matrix.camera.matrix.tolist() == matrix
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 50}
    for name in ('a.png', 'b.png'):
        Image.fromarray(ramp(24, 36)).save(tmp_path / name, exif=exif)
    told, other = model.predict([tmp_path / 'a.png', tmp_path / 'b.png'], focal={'b.png': 300.})
    assert told.camera.origin == 'exif' and told.camera.numbers[0] == pytest.approx(50.)
    assert told.depth[0, 0] == pytest.approx(1.) and other.depth[0, 0] == pytest.approx(6.)
    for options, said in ((dict(focal=0.), 'is no camera'), (dict(focal={'a': 'x'}), 'is no camera'),
                          (dict(focal=1., K=matrix), 'give one of them')):
        with pytest.raises(ValueError, match=said):
            model.predict(ramp(), **options)


def test_predict__shrunk():
    """Of a picture that is larger than may be, metres and camera are those of the picture."""
    found = predictor(focal=100.).predict(ramp(80, 100), max_pixels=2000)
    assert found.depth.shape == (80, 100) and found.camera.numbers[0] == pytest.approx(200.)
    assert found.depth[0, 0] == pytest.approx(2., abs=.1) and found.depth[0, -1] == pytest.approx(8., abs=.1)
    given = predictor(focal=100.).predict(ramp(80, 100), max_pixels=2000, focal=200.)
    assert given.depth[0, 0] == pytest.approx(2., abs=.1)


def small(**head) -> Predictor:
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='densevit.MonocularDepth',
        data_preprocessor=dict(type='mmengine.ImgDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
        backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=16, depth=4, num_heads=2,
                      out_indices=(0, 1, 2, 3)),
        head=dict(type='densevit.DPTDepth', channels=(4, 4, 4, 4), width=4, hidden_dim=4, activation='exp', **head)))
    return Predictor(model, Config(dict(default_scope='mmengine', test_pipeline=PIPELINE)))


def test_predict__a_presumed_view():
    """Its angle is a call's to choose, for points where metres do not depend on it."""
    for head, said in (({}, 'points spread'), (dict(canonical_focal=100.), 'metres grow')):
        wide = small(**head).predict(ramp(), fov=120.)
        assert wide.camera.numbers[0] == pytest.approx(25 / 3**.5) and wide.camera.origin == 'presumed'
        assert 'a view of 120 degrees is presumed' in wide.notes[0] and said in wide.notes[0]


def test_predict__tiles_have_the_view_of_the_picture(tmp_path):
    """Without the picture as a whole, too: a tile sees a part of what its picture is presumed, or told, to see."""
    model = small(canonical_focal=100.)
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 28}
    Image.fromarray(np.full((80, 100, 3), 90, np.uint8)).save(tmp_path / 'a.png', exif=exif)
    for picture, origin in ((np.full((80, 100, 3), 90, np.uint8), 'presumed'), (tmp_path / 'a.png', 'exif')):
        with_whole, alone = (model.predict(picture, tiles=(48, 64), whole_picture=flag) for flag in (True, False))
        told = model.predict(picture, tiles=(48, 64), whole_picture=False, focal=float(with_whole.camera.numbers[0]))
        assert alone.camera.origin == with_whole.camera.origin == origin
        assert np.allclose(alone.camera.numbers, with_whole.camera.numbers)
        assert np.allclose(alone.depth, told.depth, rtol=1e-4)
        assert any('is presumed' in note for note in alone.notes) == (origin == 'presumed')


def test_points_and_ply(tmp_path):
    depth = np.full((40, 50), 2.)
    depth[0, 0] = 0
    sky = np.zeros((40, 50), bool)
    sky[0, 1] = True
    found = result(depth, sky=sky)
    points = found.points()
    assert points.shape == (40, 50, 3) and points[20, 25] == pytest.approx([.02, .02, 2.])
    header, _, body = found.to_ply().partition(b'end_header\n')
    assert b'element vertex 1998' in header and b'comment densevit' in header
    vertices = np.frombuffer(body, [('xyz', '<f4', 3), ('rgb', 'u1', 3)])
    assert len(vertices) == 1998 and vertices['xyz'][-1] == pytest.approx(points[-1, -1])
    assert vertices['rgb'][0].tolist() == [99, 99, 99]


def test_calibrate():
    metres = np.linspace(1, 9, 2000).reshape(40, 50)
    known = [(x, y, float(metres[y, x])) for x, y in ((0, 0), (30, 20), (49, 39))]
    for kind, values in (('metric', .5 * metres), ('relative_depth', 3 * metres),
                         ('relative_disparity', 5 / metres + 2)):
        before = result(values, kind)
        after = before.calibrate(known)
        assert np.abs(after.depth - metres).max() < 1e-3 and after.kind == 'metric' and after.notes
        assert np.array_equal(before.values, values.astype(np.float32))
    assert not any('presumed' in note for note in after.notes)
    presumed = DepthResult(before.image, before.values, before.kind, Camera(before.camera.numbers, 'presumed'))
    assert 'a view of 53.1 degrees is presumed' in presumed.calibrate(known).notes[-1]
    relative = result(5 / metres + 2, 'relative_disparity')
    with pytest.raises(ValueError, match='calibrate'):
        _ = relative.depth
    assert relative.disparity is relative.values
    for given, said in ((known[:1], 'two known distances'), ([(50, 0, 1.)], 'column from 0 to 49'),
                        ([(0, 0, -1.)], 'above 0'), ([(0, 0, 9.), (49, 39, 1.)], 'check columns and rows')):
        with pytest.raises(ValueError, match=said):
            relative.calibrate(given)
    with pytest.raises(ValueError, match='at least one'):
        result(metres).calibrate([])


def test_save(tmp_path):
    found = result(np.linspace(1, 9, 2000).reshape(40, 50))
    options = dict(json=True, png16=True, npy=True, pfm=True, ply=True)
    written = found.save(tmp_path / 'room.png', **options)
    assert [path.name for path in written] == [f'room.png{end}' for end in (
        '', '.json', '.depth.png', '.npy', '.pfm', '.ply')]
    for path, tolerance in zip(written[2:5], (6e-4, 0, 0), strict=True):
        assert np.abs(read_depth(path) - found.depth).max() <= tolerance
    content = json.loads(written[1].read_text())
    assert content['depth_png_scale'] == 1000 and content['camera']['fx'] == 50. and content['kind'] == 'metric'
    assert content['nearest'] < content['median'] < content['farthest']
    found.save(tmp_path / 'room.png', **options)  # over its own
    (tmp_path / 'other.png.npy').write_bytes(b'of somebody else')
    with pytest.raises(OutputError, match='other.png.npy: exists and is not an earlier result'):
        found.save(tmp_path / 'other.png', npy=True)
    assert (tmp_path / 'other.png.npy').read_bytes() == b'of somebody else'
    far = result(np.full((40, 50), 70.))
    assert read_depth(far.save(tmp_path / 'far.png', png16=True)[1], far.png_scale)[0, 0] == pytest.approx(70.)


@pytest.mark.parametrize('kind', ['metric', 'relative_depth', 'relative_disparity'])
def test_draw__near_is_bright(kind):
    values = np.repeat(np.linspace(1, 9, 300)[None], 280, 0)
    shown = result(values, kind).draw()
    assert shown.shape[0] > 280 and shown.shape[1] == 300 and shown.dtype == np.uint8
    left, right = shown[100, 0].sum(), shown[100, -1].sum()
    assert (left < right) == (kind == 'relative_disparity')
    assert result(values, kind).draw(legend=False).shape == (280, 300, 3)
    assert result(values, kind).table().rows[0].cells[0] == 'nearest'


@pytest.mark.parametrize('kind', ['metric', 'relative_depth', 'relative_disparity'])
def test_draw__between_values_of_the_result(kind):
    """Near and far are told in the unit of the values, whatever the bar shows."""
    values = 100 * np.repeat(np.linspace(1, 9, 300)[None], 280, 0)
    near, far = (700., 300.) if kind == 'relative_disparity' else (300., 700.)
    shown = result(values, kind).draw(near=near, far=far, legend=False)[0]
    first, last = shown[values[0] < 300], shown[values[0] > 700]
    assert np.ptp(first, 0).max() == np.ptp(last, 0).max() == 0 and not np.array_equal(first[0], last[0])
    assert len(np.unique(shown[(values[0] > 300) & (values[0] < 700)], axis=0)) > 100
    with pytest.raises(ValueError, match='near='):
        result(values, kind).draw(near=far, far=near)


def test_summary__of_small_numbers_and_without_sky():
    content = result(np.linspace(.001, .004, 2000).reshape(40, 50), 'relative_depth').to_dict()
    assert content['nearest'] == pytest.approx(.00103) and content['farthest'] == pytest.approx(.00397)
    values, sky = np.full((40, 50), 500.), np.ones((40, 50), bool)
    values[30:], sky[30:] = 5., False
    found = result(values, sky=sky)
    assert found.to_dict()['median'] == 5. and found.table().rows[2].cells[1] == '5.00'
    assert result(values, sky=np.ones_like(sky)).to_dict()['median'] == 500.


def test_colours():
    depth = np.array([[0., np.nan, 1., 2., 4.]])
    colors = draw_depth(depth, 1., 4., bar=False)
    assert colors[0, 0].tolist() == colors[0, 1].tolist() == [128] * 3  # not known
    assert colors[0, 2].tolist() == [252, 255, 164] and colors[0, 4].tolist() == [0, 0, 4]
    assert colors[0, 3].tolist() == draw_depth(np.array([[10., 20., 40.]]), 10., 40., False)[0, 1].tolist()  # ratios
    # What is given is an end of the scale, also where all of the map lies beyond it.
    assert (draw_depth(depth, far=.5, bar=False)[0, 2:] == (0, 0, 4)).all() and depth_range(depth, far=.5)[1] == .5
    assert (draw_depth(depth, near=8., bar=False)[0, 2:] == (252, 255, 164)).all()
    large = np.random.default_rng(0).uniform(0, 5, (900, 400))  # which is coloured in bands
    parts = [draw_depth(part, 1., 4., bar=False) for part in np.split(large, (700, ))]
    assert np.array_equal(draw_depth(large, 1., 4., bar=False), np.concatenate(parts))
    assert draw_depth(np.zeros((30, 40))).shape[1] >= 256  # nothing is known; enlarged for the bar
    for near, far in ((2., 1.), (-1., None), (None, float('nan'))):
        with pytest.raises(ValueError, match='near|far'):
            draw_depth(depth, near, far)
    for least, most in ((.3, 80.), (2., 2.2), (999., 1024.), (1., 4.)):
        numbers = bar_numbers(least, most)
        assert all(least <= number <= most for number in numbers) and 1 <= len(numbers) < 60


def test_stabilise():
    """Frames whose scale jumps come out at one scale; something that moves does not pull at the others."""
    scene = np.linspace(1, 5, 2000).reshape(40, 50)
    jumps = np.random.default_rng(0).uniform(.7, 1.4, 30)
    frames = []
    for index, jump in enumerate(jumps):
        moved = scene.copy()
        moved[10:20, index:index + 10] = .5
        frames.append(result(jump * moved))
    out = list(stabilise(frames, inertia=.95))
    medians = np.array([np.median(frame.values[25:]) for frame in out])
    before = np.array([np.median(frame.values[25:]) for frame in frames])
    steps, steps_before = (np.abs(np.diff(np.log(each))).mean() for each in (medians, before))
    assert steps < .1 * steps_before
    shifted = [result(jump * 4 / scene + shift, 'relative_disparity')
               for jump, shift in zip(jumps, np.random.default_rng(1).uniform(-1, 1, 30), strict=True)]
    out = np.stack([frame.values for frame in stabilise(shifted, inertia=.99)])
    assert out.std(0).max() < .2 * np.stack([frame.values for frame in shifted]).std(0).max()
    assert all(np.array_equal(a.values, b.values) for a, b in zip(stabilise(frames, 0.), frames, strict=True))
    with pytest.raises(ValueError, match='one video'):
        list(stabilise([frames[0], result(scene[:20])]))
    with pytest.raises(ValueError, match='inertia=1'):
        list(stabilise(frames, 1))


@pytest.mark.parametrize('kind', ['metric', 'relative_depth', 'relative_disparity'])
@pytest.mark.parametrize('with_whole', [True, False])
def test_merge__tiles_of_other_scales(kind, with_whole):
    """Every tile has a scale of its own, for disparity a shift too; one map comes out, without seams."""
    from densevit.inference.canvas import Canvas
    from densevit.inference.task import Call, Picture, Tile
    from densevit.inference.tasks.depth import Depth

    image = np.zeros((60, 90, 3), np.uint8)
    y, x = np.mgrid[:60, :90]
    scene = (3 + np.sin(x / 7) + y / 40).astype(np.float32)
    camera = Camera(np.array([50., 50., 45., 30.]), 'given')

    def part(top, left, height, width, scale, shift):
        values = scene[top:top + height, left:left + width] * scale + shift * (kind == 'relative_disparity')
        return Tile(DepthResult(image[top:top + height, left:left + width], values, kind, camera), top, left)

    generator = np.random.default_rng(0)
    tiles = [part(0, 0, 60, 90, 1., 0.)] if with_whole else []
    tiles += [part(top, left, 40, 40, *generator.uniform(.5, 2, 2) if with_whole or top + left else (1., 0.))
              for top in (0, 20) for left in (0, 25, 50)]
    found = Depth().merge(iter(tiles), Picture(image, Canvas.fit(image, None), notes=('in tiles', )),
                          Call(options=dict(focal=None, K=None)))
    assert np.abs(found.values - scene).max() < 2e-3 and found.kind == kind and found.notes == ('in tiles', )
    assert found.camera.origin == ('given' if with_whole else 'presumed')


def test_predict__in_tiles():
    """As a whole, whatever a tile's model would presume of its camera."""
    whole = predictor(focal=100.).predict(ramp(80, 100), focal=200.)
    for options in (dict(focal=200.), dict(focal=200., whole_picture=False)):
        tiled = predictor(focal=100.).predict(ramp(80, 100), tiles=(48, 64), **options)
        assert np.allclose(tiled.depth, whole.depth, rtol=1e-3) and 'tiles of 64x48' in tiled.notes[0]
        assert np.allclose(tiled.camera.numbers, whole.camera.numbers)


@pytest.mark.parametrize('options', [{}, dict(flip=True), dict(tiles=(48, 64))])
def test_predict__has_the_size_of_the_picture(options):
    """20 odd sizes, smaller and larger than what the network sees, through a resize and pads."""
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='densevit.MonocularDepth',
        data_preprocessor=dict(type='mmengine.ImgDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
        backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=16, depth=4, num_heads=2,
                      out_indices=(0, 1, 2, 3)),
        head=dict(type='densevit.DPTDepth', channels=(4, 4, 4, 4), width=4, hidden_dim=4, activation='exp')))
    resized = [PIPELINE[0], dict(type='densevit.ResizeForDepth', size=(48, 64)), PIPELINE[1]]
    deep = Predictor(model, Config(dict(default_scope='mmengine', test_pipeline=resized)))
    for height in (1, 31, 47, 77, 131):
        for width in (3, 33, 65, 101):
            found = deep.predict(ramp(height, width), **options)
            assert found.depth.shape == (height, width) == found.image_size
            assert np.isfinite(found.depth).all() and (found.depth > 0).all()


def test_merge__keeps_no_tiles():
    """Memory is that of the picture's maps, however many tiles there are: one is gone before the next but one."""
    from densevit.inference.canvas import Canvas
    from densevit.inference.task import Call, Picture, Tile
    from densevit.inference.tasks.depth import Depth

    image, alive, most = np.zeros((40, 3000, 3), np.uint8), weakref.WeakSet(), []

    def tiles():
        for left in range(0, 2961, 37):
            tile = Tile(result(np.full((40, 40), 2.)), 0, left)
            alive.add(tile.result)
            most.append(len(alive))
            yield tile

    merged = Depth().merge(tiles(), Picture(image, Canvas.fit(image, None)), Call(options=dict(focal=None, K=None)))
    assert merged.depth.shape == (40, 3000) and len(most) == 81 and max(most) <= 2


def test_other_models():
    """A sample of mmsegmentation's depth is read; one without depth says what it has."""
    from densevit.inference.canvas import Canvas
    from densevit.inference.task import Call, Picture, PredictionError
    from densevit.inference.tasks import TASKS, read_by
    from densevit.inference.tasks.depth import Depth

    picture = Picture(ramp(4, 5), Canvas.fit(ramp(4, 5), None))
    sample = BaseDataElement()
    sample.pred_depth_map = PixelData(data=torch.ones(1, 4, 5))
    task = read_by(sample, TASKS)
    assert isinstance(task, Depth)
    found = task.read(sample, picture, Call(options=dict(focal=None, K=None)))
    assert found.kind == 'metric' and (found.depth == 1).all()
    with pytest.raises(PredictionError, match='gives pred_depth_map'):
        task.read(BaseDataElement(), picture, Call(options=dict(focal=None, K=None)))
    with pytest.raises(ValueError, match='have the shape'):
        DepthResult(ramp(4, 5), np.ones((3, 3)), 'metric', found.camera)

"""Restoration in predict: results, what they write, and tiles that are joined."""
import json
import re
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from PIL import Image

from densevit import inference
from densevit.datasets.restoration.matlab_resize import matlab_resize
from densevit.evaluation import psnr
from densevit.inference import cli, memory
from densevit.inference import predictor as predictor_module
from densevit.inference.canvas import Canvas
from densevit.inference.predictor import Predictor
from densevit.inference.task import Call, Picture, PredictionError
from densevit.inference.tasks.restoration import Restoration, RestorationResult
from densevit.registry import MODELS


class Part(NamedTuple):
    result: RestorationResult
    top: int
    left: int


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)


def read(image, restored):
    return Restoration().read(BaseDataElement(pred_img=restored), Picture(image, Canvas.fit(image, None)), Call())


def enlarged(image, scale=2):
    return torch.from_numpy(image.repeat(scale, 0).repeat(scale, 1)).permute(2, 0, 1) / 255


def test_read(image):
    result = read(image, enlarged(image))
    assert result.scale == 2 and result.restored.dtype == np.uint8
    np.testing.assert_array_equal(result.restored, image.repeat(2, 0).repeat(2, 1))
    assert result.to_dict()['restored_size'] == dict(height=60, width=80)
    with pytest.raises(PredictionError, match='pred_img'):
        Restoration().read(BaseDataElement(), Picture(image, Canvas.fit(image, None)), Call())


def test_read__a_long_picture_without_its_pads():
    strip = np.random.default_rng(0).integers(0, 256, (2, 200, 3)).astype(np.uint8)
    canvas = Canvas.fit(strip, None)
    assert canvas.image.shape[0] > 2
    result = Restoration().read(BaseDataElement(pred_img=enlarged(canvas.image)), Picture(strip, canvas), Call())
    np.testing.assert_array_equal(result.restored, strip.repeat(2, 0).repeat(2, 1))


def test_read__grey_stays_grey(image, tmp_path):
    grey = image[..., :1].repeat(3, 2)
    result = read(grey, (enlarged(grey) + torch.tensor([.01, 0, -.01]).view(3, 1, 1)).clamp(0, 1))
    assert np.ptp(result.restored, axis=2).max() == 0
    assert read(grey, enlarged(grey)[:1]).restored.shape == (60, 80, 3)  # of a network for grey images
    _, restored = result.save(tmp_path / 'grey.png')
    assert Image.open(restored).mode == 'L'


def test_reference(image):
    result = read(image, enlarged(image))
    true = result.restored.copy()
    assert result.psnr(true) == float('inf') and result.ssim(true) == pytest.approx(1)
    true[::2] ^= 8
    assert result.psnr(true, crop_border=0) == pytest.approx(10 * np.log10(255**2 / 32))
    with pytest.raises(ValueError, match='one size'):
        result.psnr(image)


@pytest.mark.parametrize('scale', (1, 2))
def test_figures_of_a_given_reference(image, scale):
    """Those of papers: luma within a border for an enlarged picture, RGB for one of its size; and those before."""
    true = np.random.default_rng(1).integers(0, 256, (30 * scale, 40 * scale, 3)).astype(np.uint8)
    call = Call(options=dict(reference=true))
    picture = Picture(image, Canvas.fit(image, None))
    result = Restoration().read(BaseDataElement(pred_img=enlarged(image, scale)), picture, call)
    name, options = ('RGB', {}) if scale == 1 else ('Y_border2', dict(crop_border=2, y_channel=True))
    assert str(result.protocol) == name
    assert result.figures.psnr == result.psnr(true, **options) and result.figures.ssim == result.ssim(true, **options)
    before = image if scale == 1 else matlab_resize(image, 2)
    assert result.figures_before.psnr == psnr(before, true, **options)
    said = result.to_dict()['reference']
    assert said['protocol'] == name and said['restored'] == dict(PSNR=result.figures.psnr, SSIM=result.figures.ssim)
    rows = {row.cells[0]: row.cells[3:] for row in result.table().rows}
    assert rows['restored'] == (f'{result.figures.psnr:.2f}', f'{result.figures.ssim:.4f}')
    assert result.draw().shape[1] > 1.4 * RestorationResult(image, result.restored).draw().shape[1]  # a third panel
    exact = RestorationResult(image, true, reference=true)
    assert exact.figures.psnr == float('inf') and '"PSNR": null' in exact.to_json()
    with pytest.raises(ValueError, match='true picture has 40x29'):
        RestorationResult(image, true, reference=true[:29, :40])


def test_references_are_found_by_name(image, tmp_path):
    """Files are cropped to a whole number of times the picture, as papers do; the part of a tile has no figures."""
    true = np.random.default_rng(1).integers(0, 256, (61, 80, 3)).astype(np.uint8)
    (tmp_path / 'HR').mkdir()
    for name in ('b_HR', 'other', 'box1', 'box2'):
        Image.fromarray(true).save(tmp_path / f'HR/{name}.png')

    def read_as(name, **picture):
        picture = Picture(image, Canvas.fit(image, None), source=tmp_path / name, **picture)
        return Restoration().read(BaseDataElement(pred_img=enlarged(image)), picture, call)

    for given in (tmp_path / 'HR', str(tmp_path / 'HR/b_HR.png'), {'bx2.png': true}):
        call = Call(options=dict(reference=given))
        Restoration().check(call)
        np.testing.assert_array_equal(read_as('bx2.png').reference, true[:60])
        assert read_as('bx2.png', tile_of=(90, 90)).reference is None
    call = Call(options=dict(reference=tmp_path / 'HR'))
    np.testing.assert_array_equal(read_as('box1x2.png').reference, true[:60])
    call = Call(options=dict(reference={'bx2.png': true}))
    assert read_as('none.png').reference is None  # a dictionary may have it for some alone
    call = Call(options=dict(reference=tmp_path / 'HR'))
    with pytest.raises(ValueError, match='no true picture for .*none.png'):
        read_as('none.png')
    with pytest.raises(ValueError, match='check the path'):
        Restoration().check(Call(options=dict(reference='nowhere')))


def test_what_was_restored_is_not_lost_for_its_reference(image, tmp_path):
    """One that cannot be compared is said in a note; one that is missing, before the model works."""
    restore = predictor()
    small = np.zeros((3, 4, 3), np.uint8)
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    for picture, reference, said in ((image, image, '40x30'), (small[:2, :2], small[:, :4].repeat(1, 0)[:4, :4], '4x4'),
                                     (image, tmp_path / 'broken.png', 'broken.png')):
        result = restore.predict(picture, reference=reference)
        assert result.reference is None and said in result.notes[0] and 'no figures' in result.notes[0]
        assert result.restored.shape == (2 * picture.shape[0], 2 * picture.shape[1], 3)
    Image.fromarray(image).save(tmp_path / 'a.png')
    (tmp_path / 'HR').mkdir()
    ran = []
    restore.model.network.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(ValueError, match='no true picture'):
        restore.predict(tmp_path / 'a.png', reference=tmp_path / 'HR')
    assert not ran


def test_the_sample_is_half_a_photograph(tmp_path, image):
    """A model of scale 2 is compared with the photograph, others are not."""
    Image.fromarray(np.pad(image, ((0, 1), (0, 0), (0, 0)))).save(tmp_path / 'photo.jpg')
    small, options = Restoration().sample(tmp_path / 'photo.jpg', tmp_path / 'out', predictor().model)
    assert small == tmp_path / 'out/given/photo.png'
    assert np.array(Image.open(small)).shape == (15, 20, 3) and options['reference'].shape == (30, 40, 3)
    assert Restoration().sample(tmp_path / 'photo.jpg', tmp_path / 'out', predictor(1).model)[1] == {}


def test_command_with_a_reference(image, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inference, 'load', lambda name, **options: predictor())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '120')
    Image.fromarray(image).save('a.png')
    Image.fromarray(image.repeat(2, 0).repeat(2, 1)).save('true.png')
    assert cli.main(['a.png', '--reference', 'true.png', '--json']) == 0
    assert 'Y_border2/PSNR' in capsys.readouterr().out
    assert json.loads((tmp_path / 'outputs/a.png.json').read_text())['reference']['restored']['PSNR'] > 10
    assert cli.main([]) == 0  # the photograph that is always there
    assert 'given/chelsea.png, 225x150' in capsys.readouterr().out


def test_saved(image, tmp_path):
    result = read(image, enlarged(image))
    drawn, restored = result.save(tmp_path / 'a.png')
    assert restored.name == 'a.png.restored.png'
    np.testing.assert_array_equal(np.array(Image.open(restored)), result.restored)
    assert np.array(Image.open(drawn)).shape[0] > np.array(Image.open(result.save(tmp_path / 'b.png', detail=False)[0])
                                                           ).shape[0]


@pytest.mark.parametrize('scale', (1, 2))
@pytest.mark.parametrize('size', [(30, 40), (500, 900)])
def test_drawn__the_detail_is_where_most_has_changed(scale, size):
    """Both panels of the lower row show the only square that differs."""
    before = np.full((*size, 3), 90, np.uint8)
    after = before.repeat(scale, 0).repeat(scale, 1)
    y, x = size[0] * 3 // 4, size[1] // 4
    after[scale * y:scale * (y + 3), scale * x:scale * (x + 3)] = 255
    drawn = RestorationResult(before, after).draw()
    upper = RestorationResult(before, after).draw(detail=False)
    detail = drawn[upper.shape[0] + 10:]
    assert (detail[:, detail.shape[1] // 2 + 10:] == 255).all(-1).any() and not (detail[:, :detail.shape[1] // 2 - 10]
                                                                                == 255).all(-1).any()


def tiles(image, restored, size, corners):
    scale = restored.shape[0] // image.shape[0]
    for top, left in corners:
        part = restored[scale * top:scale * (top + size), scale * left:scale * (left + size)]
        yield Part(RestorationResult(image[top:top + size, left:left + size], part), top, left)


def test_tiles_that_agree_give_the_whole(image):
    restored = read(image, enlarged(image)).restored
    corners = [(top, left) for top in (0, 10, 14) for left in (0, 8, 15, 24)]
    joined = Restoration().merge(tiles(image, restored, 16, corners), Picture(image, Canvas.fit(image, None)), Call())
    np.testing.assert_array_equal(joined.restored, restored)


def test_tiles_that_differ_are_blended_without_a_step():
    """Of constant tiles, no two neighbouring pixels differ by more than a step of the ramps."""
    image = np.zeros((40, 40, 3), np.uint8)
    values = iter((0, 200, 100, 240))
    parts = [Part(RestorationResult(image[:24, :24], np.full((24, 24, 3), next(values), np.uint8)), *corner)
             for corner in ((0, 0), (0, 16), (16, 0), (16, 16))]
    result = Restoration().merge(iter(parts), Picture(image, Canvas.fit(image, None)), Call())
    joined = result.restored[..., 0].astype(int)
    assert joined[0, 0] == 0 and joined[0, -1] == 200 and joined[-1, 0] == 100 and joined[-1, -1] == 240
    assert max(abs(np.diff(joined, axis=axis)).max() for axis in (0, 1)) <= 200 / 8 + 1


def predictor(scale=2, **loading):
    """A network that gives interpolation, so that what comes out tells what went in."""
    options = dict(type='densevit.SwinIR', scale=scale, embed_dim=8, depths=(1, ), num_heads=1)
    if scale > 1:
        options |= dict(upsampler='pixelshuffledirect', skip='bicubic')
    model = MODELS.build(dict(type='densevit.Restorer', head=options))
    pipeline = [dict(type='densevit.LoadPair', **loading), dict(type='densevit.PackPair')]
    return Predictor(model, Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline)))))


def test_sixteen_bits_from_file_to_file(tmp_path):
    """Steps of a 257th of one of 8 bits: quantised anywhere, there would be a hundredth of the values."""
    values = np.linspace(20000, 22000, 32 * 48 * 3).reshape(32, 48, 3).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), values)
    result = predictor().predict(tmp_path / 'deep.png')
    assert result.restored.dtype == np.uint16 and result.image.dtype == np.uint8
    pixels = torch.from_numpy(values[..., ::-1].astype(np.float64)).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(pixels, scale_factor=2, mode='bicubic')[0].permute(1, 2, 0).numpy()
    assert abs(result.restored - expected).max() <= 1
    _, file = result.save(tmp_path / 'out.png')
    written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written[..., ::-1], result.restored)
    assert len(np.unique(written)) > 1000
    result.save(tmp_path / 'out.png')  # known as its own
    assert result.psnr(result.restored) == float('inf')


def test_faint_colours_of_sixteen_bits(tmp_path):
    """They differ by less than a step of 8 bits, in which the picture is grey."""
    values = np.full((20, 24, 3), 20000, np.uint16)
    values[..., 2] += 100
    cv2.imwrite(str(tmp_path / 'deep.png'), values)
    restored = predictor().predict(tmp_path / 'deep.png').restored
    assert abs(restored.reshape(-1, 3).mean(0) - (20100, 20000, 20000)).max() < 2


def test_sixteen_bits_of_grey(tmp_path):
    values = np.linspace(20000, 22000, 32 * 48).reshape(32, 48).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), values)
    _, file = predictor().predict(tmp_path / 'deep.png').save(tmp_path / 'out.png')
    written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert written.shape == (64, 96) and written.dtype == np.uint16 and len(np.unique(written)) > 1000


@pytest.mark.parametrize('dtype', (np.uint8, np.uint16))
def test_alpha_is_carried(tmp_path, dtype):
    most = np.iinfo(dtype).max
    values = np.full((20, 24, 4), most // 2, dtype)
    values[..., 3] = most
    values[:, :12, 3] = 0
    cv2.imwrite(str(tmp_path / 'a.png'), values)
    _, file = predictor().predict(tmp_path / 'a.png').save(tmp_path / 'out.png')
    written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert written.shape == (40, 48, 4) and written.dtype == dtype
    assert (written[:, :20, 3] == 0).all() and (written[:, -20:, 3] == most).all()
    assert abs(written[..., :3].astype(int) - most // 2).max() <= 1  # not whitened where it is transparent


def test_pictures_on_white_have_no_alpha(tmp_path):
    """A config that does not keep the depth reads what a person sees; alpha would make it paler once more."""
    values = np.full((20, 24, 4), 20000, np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), values)
    _, file = predictor(keep_depth=False).predict(tmp_path / 'a.png').save(tmp_path / 'out.png')
    written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert written.shape[:2] == (40, 48) and written.ndim == 2 and written.dtype == np.uint8


def test_grey_with_alpha(tmp_path):
    values = np.full((20, 24, 2), 90, np.uint8)
    values[:, :12, 1] = 255
    Image.fromarray(values).save(tmp_path / 'a.png')
    _, file = predictor().predict(tmp_path / 'a.png').save(tmp_path / 'out.png')
    written = Image.open(file)
    assert written.mode == 'LA' and abs(np.array(written)[..., 0].astype(int) - 90).max() <= 1
    assert np.array(written)[0, [0, -1], 1].tolist() == [255, 90]


def test_predicted_in_tiles():
    """Interpolation looks at four pixels, so that tiles differ from the whole at their borders alone."""
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    restore = predictor()
    whole, tiled = restore.predict(image), restore.predict(image, tiles=(40, 40), overlap=.4, batch_size=4)
    assert tiled.restored.shape == whole.restored.shape and 'tiles' in tiled.notes[0]
    assert abs(tiled.restored.astype(int) - whole.restored).mean() < 2


def test_tiles_that_memory_suffices_for(monkeypatch):
    """Measured: a model of twice the width takes smaller tiles; with plenty of memory the picture stays whole."""
    image = np.random.default_rng(0).integers(0, 256, (200, 330, 3)).astype(np.uint8)
    restore = predictor()
    assert restore.predict(image, tiles='auto').notes == ()
    taken = memory.peak_bytes(lambda: restore.predict(image[:128, :128]), torch.device('cpu'))
    monkeypatch.setattr(predictor_module, 'free_bytes', lambda device: 2 * taken)
    tiled = restore.predict(image, tiles='auto')
    side = int(re.search(r'tiles of (\d+)x', tiled.notes[0])[1])
    assert 96 <= side <= 160 and tiled.restored.shape == (400, 660, 3)
    batch = restore.predict(image, tiles='auto', batch_size=4)
    assert int(re.search(r'tiles of (\d+)x', batch.notes[0])[1]) <= .6 * side
    monkeypatch.setattr(predictor_module, 'free_bytes', lambda device: 1000)
    with pytest.raises(MemoryError, match='0 MB are free'):
        restore.predict(image, tiles='auto')


@pytest.mark.parametrize(('error', 'said'), [
    (ValueError('the network broke'), 'at (25, 0) failed: the network broke'),
    (MemoryError(), 'give smaller tiles'),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 'give smaller tiles')])
def test_a_failed_tile_stops_with_the_reason(monkeypatch, error, said):
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype(np.uint8)
    restore, calls, step = predictor(), [], predictor().model.test_step

    def fail_at_the_second(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return step(*args, **kwargs)

    monkeypatch.setattr(restore.model, 'test_step', fail_at_the_second)
    with pytest.raises(PredictionError, match=re.escape(said)):
        restore.predict(image, tiles=(40, 40), overlap=.3)
    assert len(calls) == 2


@pytest.mark.parametrize('size', [(33, 97), (50, 51), (131, 64)])
@pytest.mark.parametrize('scale', (1, 2))
def test_output_is_exactly_as_many_times_larger(size, scale):
    image = np.zeros((*size, 3), np.uint8)
    assert predictor(scale).predict(image, tiles=(48, 40)).restored.shape == (scale * size[0], scale * size[1], 3)

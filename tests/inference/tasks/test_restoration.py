"""Restoration in predict: results, what they write, and tiles that are joined."""
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from PIL import Image

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


def predictor(scale=2, **head):
    """A network that gives interpolation, so that what comes out tells what went in."""
    options = dict(type='densevit.SwinIR', scale=scale, embed_dim=8, depths=(1, ), num_heads=1,
                   upsampler='pixelshuffledirect', skip='bicubic', **head)
    model = MODELS.build(dict(type='densevit.Restorer', head=options))
    pipeline = [dict(type='densevit.LoadPair', keep_depth=True), dict(type='densevit.PackPair')]
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


def test_predicted_in_tiles():
    """Interpolation looks at four pixels, so that tiles differ from the whole at their borders alone."""
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    restore = predictor()
    whole, tiled = restore.predict(image), restore.predict(image, tiles=(40, 40), overlap=.4, batch_size=4)
    assert tiled.restored.shape == whole.restored.shape and 'tiles' in tiled.notes[0]
    assert abs(tiled.restored.astype(int) - whole.restored).mean() < 2

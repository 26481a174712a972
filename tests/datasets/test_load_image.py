"""One reading: what a model is trained on, tested on and shown by `predict` are the same pixels of a file."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from pictures import KINDS, deep, encoded, photo, write

from densevit.datasets import LoadImage
from densevit.errors import DoubtfulResultWarning
from densevit.images import ImageError, read_image
from densevit.inference import Predictor

PLAIN = ('rgb.jpg', 'rgb_progressive.jpg', 'rgb.png', 'grey.png', 'grey.jpg', 'exif_3.jpg', 'exif_6.jpg', 'exif_8.jpg',
         'bilevel.png', 'srgb.jpg')


class Seen(BaseModel):
    """Keeps what it is shown."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        (self.inputs,) = inputs
        for sample in data_samples:
            sample.pred_sem_seg = PixelData(data=torch.zeros(1, *sample.ori_shape, dtype=torch.long))
        return data_samples


def seen_by_predict(path, *pipeline):
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[*pipeline, dict(type='PackSegInputs')]))
    model = Seen()
    result = Predictor(model, cfg, classes=['all']).predict(path)
    return model.inputs.numpy().transpose(1, 2, 0), result.image


def seen_by_tests(path, *pipeline):
    with DefaultScope.overwrite_default_scope('mmseg'):
        packed = Compose([*pipeline, dict(type='PackSegInputs')])(dict(img_path=str(path)))
    return packed['inputs'].numpy().transpose(1, 2, 0)


@pytest.mark.filterwarnings('ignore::densevit.errors.DoubtfulResultWarning')
@pytest.mark.parametrize('name', KINDS)
def test_training_tests_and_predictions_see_the_same(tmp_path, name):
    path = write(tmp_path, name)
    for color_type, channels in dict(color=3, grayscale=1).items():
        load = dict(type='densevit.LoadImage', color_type=color_type)
        expected = seen_by_tests(path, load)
        assert expected.dtype == np.uint8 and expected.shape[2] == channels
        seen, shown = seen_by_predict(path, load)
        np.testing.assert_array_equal(seen, expected)
        np.testing.assert_array_equal(shown, read_image(path))
        if color_type == 'color':
            np.testing.assert_array_equal(shown, expected[..., ::-1])


def test_plain_pictures_are_what_opencv_reads(tmp_path):
    """Models that were trained with mmcv's transform see what they know."""
    for name in PLAIN:
        path = write(tmp_path, name)
        opencvs = LoadImageFromFile()(dict(img_path=path))['img'].astype(int)
        assert abs(LoadImage()(dict(img_path=path))['img'] - opencvs).max() <= 2, name


@pytest.mark.filterwarnings('ignore::densevit.errors.DoubtfulResultWarning')
@pytest.mark.parametrize('options', [
    {}, dict(type=LoadImageFromFile), dict(color_type='grayscale'), dict(imdecode_backend='pillow'),
    dict(color_type='color_ignore_orientation'),
], ids=str)
def test_stock_transform_is_followed(tmp_path, options):
    """A model of OpenMMLab's is shown what its own tests show it, and the result lies on what it saw."""
    for name in ('rgb.jpg', 'rgba.png', 'grey_16.png', 'exif_3.jpg', 'exif_6.jpg', 'la.png'):
        path = write(tmp_path, name)
        load = {'type': 'LoadImageFromFile', **options}
        expected = seen_by_tests(path, load)
        seen, shown = seen_by_predict(path, load)
        np.testing.assert_array_equal(seen, expected)
        assert shown.shape == (*expected.shape[:2], 3), name
        if name == 'exif_3.jpg' and expected.shape[2] == 3:  # turned or not, as the model saw it
            assert abs(shown.astype(int) - expected[..., ::-1]).max() <= 2


def test_stock_transform__what_opencv_cannot_read_is_read_as_ours(tmp_path):
    path = tmp_path / 'a.dds'
    path.write_bytes(encoded(photo(), 'DDS'))
    seen, _ = seen_by_predict(path, dict(type='LoadImageFromFile'))
    np.testing.assert_array_equal(seen[..., ::-1], read_image(path))


def test_grayscale__picture_in_memory():
    for kind in ('LoadImageFromFile', 'densevit.LoadImage'):
        seen, _ = seen_by_predict(photo(), dict(type=kind, color_type='grayscale'))
        assert seen.shape == (24, 32, 1)


def test_nearly_black__is_warned_of_once(tmp_path):
    load = LoadImage()
    path = write(tmp_path, 'grey_12.png')
    with pytest.warns(DoubtfulResultWarning, match='multiply by 16 '):
        load(dict(img_path=path))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load(dict(img_path=write(tmp_path, 'rgb_12.png')))


def test_float32_and_sizes(tmp_path):
    results = LoadImage(to_float32=True)(dict(img_path=str(write(tmp_path, 'exif_6.jpg'))))
    assert results['img'].dtype == np.float32 and results['img_shape'] == results['ori_shape'] == (32, 24)


def test_damaged_file__is_named(tmp_path):
    path = tmp_path / 'cut.jpg'
    path.write_bytes(KINDS['rgb.jpg']()[:-200])
    with pytest.raises(ImageError, match='cut.jpg: truncated'):
        LoadImage()(dict(img_path=path))


def test_color_type__refused():
    with pytest.raises(ValueError, match='unchanged'):
        LoadImage(color_type='unchanged')


def test_white_is_zero(tmp_path):
    for bits in (8, 16):
        image = read_image(write(tmp_path, f'white_is_zero_{bits}.tif'))[..., 0].astype(int)
        assert abs(image - deep(8)).max() <= 1

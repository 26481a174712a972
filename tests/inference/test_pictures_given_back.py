"""What a model that gives pictures back sees of them, and the files that it writes."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from PIL import Image, ImageOps

from densevit.inference.predictor import Predictor


class Unchanged(BaseModel):
    """A model of restoration to which every picture is as good as can be."""

    task = 'restoration'

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, sample in zip(inputs, data_samples, strict=True):
            most = 65535 if image.dtype == torch.uint16 else 255
            sample.pred_img = image.float() / most
        return data_samples


@pytest.fixture
def predictor():
    pipeline = [dict(type='densevit.LoadPair'), dict(type='densevit.PackPair')]
    return Predictor(Unchanged(), Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline)))))


def test_floats_and_either_byte_order__come_back_as_sixteen_bits(predictor):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    for given in (values, values.astype('>u2'), values / 65535, (values / 65535).astype(np.float32)):
        restored = predictor.predict(given).restored
        assert restored.dtype == np.uint16
        np.testing.assert_array_equal(restored, values)
    assert predictor.predict((values >> 8).astype(np.uint8)).restored.dtype == np.uint8


@pytest.mark.parametrize('orientation', range(1, 9))
def test_alpha_of_a_turned_file__is_turned_and_kept(predictor, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgba = np.random.default_rng(0).integers(0, 256, (5, 7, 4)).astype(np.uint8)
    Image.fromarray(rgba).save(tmp_path / 'a.png', exif=exif)
    result = predictor.predict(tmp_path / 'a.png')
    _, restored = result.save(tmp_path / 'out.png')
    np.testing.assert_array_equal(np.asarray(Image.open(restored)),
                                  np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / 'a.png'))))


@pytest.mark.parametrize('bands', [(), (3, )])
def test_sixteen_bits_of_any_size__in_tiles(predictor, bands):
    """Those of more pixels than a picture that is looked at as a whole as well may have."""
    values = np.random.default_rng(0).integers(0, 65536, (2060, 2060, *bands)).astype(np.uint16)
    restored = predictor.predict(values, tiles=(1024, 1200)).restored
    np.testing.assert_array_equal(restored, values if bands else values[..., None].repeat(3, 2))
    whole_too = predictor.predict(values[:300, :200], tiles=(160, 160), whole_picture=True, max_pixels=30_000).restored
    np.testing.assert_array_equal(whole_too, restored[:300, :200])


def test_sixteen_bits__shrunk(predictor):
    values = np.linspace(20000, 22000, 80).astype(np.uint16)[None, :, None].repeat(60, 0).repeat(3, 2)
    restored = predictor.predict(values, max_pixels=30 * 40).restored
    assert restored.dtype == np.uint16 and np.abs(restored.astype(int) - values).max() < 30

"""Colour profiles are obeyed; damaged ones are said."""
from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
import pytest
from pictures import cmyk, encoded, photo, rgba, srgb_profile, wide_gamut_profile
from PIL import Image, ImageCms

from densevit.errors import DoubtfulResultWarning
from densevit.images import read_image


@pytest.fixture
def read(tmp_path):
    def read(image, image_format='PNG', **options):
        (tmp_path / 'a').write_bytes(encoded(image, image_format, **options))
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            return read_image(tmp_path / 'a')
    return read


def converted(image: np.ndarray) -> np.ndarray:
    return np.asarray(ImageCms.profileToProfile(
        Image.fromarray(image), ImageCms.ImageCmsProfile(BytesIO(wide_gamut_profile())),
        ImageCms.createProfile('sRGB'), ImageCms.Intent.RELATIVE_COLORIMETRIC))


@pytest.mark.parametrize('image_format', ['PNG', 'TIFF', 'WEBP', 'JPEG'])
def test_wide_gamut__is_converted(read, image_format):
    options = dict(lossless=True) if image_format == 'WEBP' else dict(quality=100, subsampling=0)
    seen = read(photo(), image_format, icc_profile=wide_gamut_profile(), **options).astype(int)
    assert abs(seen - photo()).max() > 10
    difference = abs(seen - converted(photo()))
    assert difference.mean() < 2 if image_format == 'JPEG' else difference.max() <= 1


def test_wide_gamut__palette_and_cut_out(read):
    palette = Image.fromarray(photo()).quantize(8)
    seen = read(palette, icc_profile=wide_gamut_profile()).astype(int)
    assert abs(seen - converted(np.asarray(palette.convert('RGB')))).max() <= 1
    cut_out = read(rgba(), icc_profile=wide_gamut_profile())
    assert (cut_out[:, :8] == 255).all()
    assert abs(cut_out[:, 16:].astype(int) - converted(photo())[:, 16:]).max() <= 1


def test_srgb__changes_nothing(read):
    for image in (photo(), photo()[..., 0].copy()):
        np.testing.assert_array_equal(read(image, icc_profile=srgb_profile() if image.ndim == 3 else None), read(image))


def test_doubts__damaged_or_foreign_profile_is_said_and_left_out(tmp_path):
    for number, (image, profile) in enumerate([
            (Image.fromarray(photo()), b'no profile'), (Image.fromarray(photo()), wide_gamut_profile()[:300]),
            (cmyk(), wide_gamut_profile())]):
        options = dict(quality=95, subsampling=0)
        path, plain = tmp_path / f'{number}.jpg', tmp_path / f'{number}_plain.jpg'
        path.write_bytes(encoded(image, 'JPEG', icc_profile=profile, **options))
        plain.write_bytes(encoded(image, 'JPEG', **options))
        with pytest.warns(DoubtfulResultWarning, match=f'{number}.jpg: its colour profile is .*; convert') as caught:
            seen = read_image(path)
        assert len(caught) == 1
        np.testing.assert_array_equal(seen, read_image(plain))

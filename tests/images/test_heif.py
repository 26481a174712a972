"""HEIC goes through pillow-heif where it is installed; where not, it is named."""
from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import photo
from PIL import Image

from densevit.images import ImageError, heif, read_image

HEAD = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'IMG_0001.heic'
    path.write_bytes(HEAD + bytes(100))
    return path


def test_without_the_library__its_name_is_said(picture, monkeypatch):
    monkeypatch.setattr(heif, 'has_heif', lambda: False)
    with pytest.raises(ImageError, match='IMG_0001.heic: is a HEIC picture; to read it run: pip install pillow-heif$'):
        read_image(picture)


def test_with_the_library__read_and_pillow_left_alone(picture, monkeypatch):
    def open_heif(path):
        assert path == picture
        return SimpleNamespace(size=(32, 24), to_pillow=lambda: Image.fromarray(photo()))

    monkeypatch.setitem(sys.modules, 'pillow_heif', SimpleNamespace(open_heif=open_heif))
    monkeypatch.setattr(heif, 'has_heif', lambda: True)
    np.testing.assert_array_equal(read_image(picture), photo())
    assert not [name for name in Image.OPEN if 'HEI' in name]
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(ImageError, match='shrink the picture'):
        read_image(picture)


def test_other_files_of_that_name__are_no_heic(picture, monkeypatch):
    monkeypatch.setattr(heif, 'has_heif', lambda: False)
    picture.write_bytes(b'no picture at all')
    with pytest.raises(ImageError, match='not a picture'):
        read_image(picture)

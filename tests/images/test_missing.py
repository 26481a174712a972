"""A picture of which a part was never in its file is refused; a whole one with a plain part is not."""
from __future__ import annotations

import itertools
import struct
from io import BytesIO

import numpy as np
import pytest
from pictures import encoded, jpeg_that_claims, photo, png, tiff
from PIL import Image

from densevit.images import ImageError, read_image


def with_plain_bottom(value: int, share: float = .9) -> np.ndarray:
    image = photo(200, 64)
    image[round(200 * (1 - share)):] = value
    return image


def rows_of_png(image: np.ndarray) -> bytes:
    return b''.join(b'\0' + row.tobytes() for row in image)


def tiff_of_height(height: int) -> bytes:
    """Uncompressed strips of 8 rows, and a header that claims more of them."""
    content = bytearray(tiff(photo(64, 64), rowsperstrip=8, photometric='rgb', contiguous=True))
    with Image.open(BytesIO(content)) as image:
        offset = struct.unpack_from('<I', content, 4)[0]
        assert image.tag_v2[257] == 64
    for index in range(struct.unpack_from('<H', content, offset)[0]):
        if struct.unpack_from('<H', content, offset + 2 + 12 * index)[0] == 257:
            struct.pack_into('<HII', content, offset + 4 + 12 * index, 4, 1, height)
    return bytes(content)


TALL = [
    (jpeg_that_claims(2000, 2000), '0'), (jpeg_that_claims(2000, 2000, progressive=True), '0'),
    (jpeg_that_claims(64, 640), '1'), (jpeg_that_claims(64, 640, restart_marker_rows=1), ''),
    (jpeg_that_claims(64, 128), ''), (png(64, 640, rows_of_png(photo(64, 64))), '10'),
    (png(64, 100, rows_of_png(photo(64, 64))), '64'), (tiff_of_height(640), '10'),
]  # jpeg, progressive, tall, with restarts, half; png, two thirds; tiff


def test_never_there__refused_with_how_much_was(tmp_path):
    path = tmp_path / 'a'
    for content, share in TALL:
        path.write_bytes(content)
        message = rf'a: claims \d+x\d+ pixels, but its file holds only {share}\d*\.\d%.*; copy'
        with pytest.raises(ImageError, match=message):
            read_image(path)


@pytest.mark.parametrize('options', [
    dict(image_format='JPEG', quality=95), dict(image_format='JPEG', progressive=True),
    dict(image_format='JPEG', optimize=True), dict(image_format='JPEG', restart_marker_rows=1),
    dict(image_format='PNG'), dict(image_format='TIFF', compression='tiff_lzw'),
    dict(image_format='TIFF', compression='jpeg'), dict(image_format='JPEG2000'),
], ids=str)
def test_plain_below__is_read(tmp_path, options):
    for value in (0, 1, 127, 128, 255):
        (tmp_path / 'a').write_bytes(encoded(with_plain_bottom(value), **options))
        assert abs(read_image(tmp_path / 'a')[-100:].astype(int) - value).max() <= 2, value


@pytest.mark.filterwarnings('ignore::densevit.errors.DoubtfulResultWarning')
@pytest.mark.parametrize('image_format', ['PNG', 'TIFF', 'JPEG'])
def test_plain_pictures_of_one_color__are_read(tmp_path, image_format):
    modes = ('1', 'L', 'P', 'RGB', 'RGBA', 'LA', 'I;16', 'CMYK', 'YCbCr')
    for mode, value in itertools.product(modes, (0, 1, 128)):
        bands = Image.new(mode, (1, 1)).getbands()
        image = Image.new(mode, (40, 30), (value,) * len(bands) if len(bands) > 1 else value)
        try:
            (tmp_path / 'a').write_bytes(encoded(image, image_format))
        except OSError:
            continue  # the format has no such mode
        assert read_image(tmp_path / 'a').shape == (30, 40, 3), (mode, value)


def test_thumbnail_in_the_header_is_left_alone(tmp_path):
    """Its scan is not the picture's."""
    thumbnail = encoded(photo(16, 16), 'JPEG')
    content = encoded(with_plain_bottom(128), 'JPEG', quality=95)
    for whole in (True, False):
        if not whole:
            content = jpeg_that_claims(64, 640)
        header = b'\xff\xe1' + (len(thumbnail) + 8).to_bytes(2, 'big') + b'Exif\0\0' + thumbnail
        (tmp_path / 'a.jpg').write_bytes(content[:2] + header + content[2:])
        if whole:
            assert read_image(tmp_path / 'a.jpg').shape == (200, 64, 3)
        else:
            with pytest.raises(ImageError, match='holds only 1'):
                read_image(tmp_path / 'a.jpg')


def test_cut_off_inside__still_truncated(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(encoded(with_plain_bottom(128), 'JPEG')[:-60])
    with pytest.raises(ImageError, match='truncated'):
        read_image(tmp_path / 'a.jpg')

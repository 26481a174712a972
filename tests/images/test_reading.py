"""Every kind of picture is read as a person sees it, or refused in one line."""
from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from densevit.errors import DoubtfulResultWarning
from densevit.images import ImageError, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quadrants() -> np.ndarray:
    """(4, 6, 3): red and green above, blue and white below."""
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :3], image[:2, 3:], image[2:, :3], image[2:, 3:] = RED, GREEN, BLUE, WHITE
    return image


def save(path: Path, image: Image.Image | np.ndarray, **options) -> Path:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


def noisy_photo(side: int = 96) -> np.ndarray:
    blocks = np.random.default_rng(0).integers(0, 255, (8, 8, 3))
    return cv2.resize(blocks.astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize('suffix', ['png', 'bmp', 'tif', 'ppm', 'tga', 'gif'])
def test_lossless_rgb_file(tmp_path, suffix):
    np.testing.assert_array_equal(read_image(save(tmp_path / f'a.{suffix}', quadrants())), quadrants())


def test_path_url_pil_and_array_agree(tmp_path):
    path = save(tmp_path / 'a b.png', quadrants())
    for source in (str(path), path, path.as_uri(), f'file://localhost{path.as_uri()[7:]}', Image.open(path),
                   quadrants()):
        np.testing.assert_array_equal(read_image(source), quadrants())


def test_result_does_not_share_memory_with_the_array():
    array = quadrants()
    read_image(array)[:] = 7
    np.testing.assert_array_equal(array, quadrants())


def test_cmyk_jpeg_and_tiff(tmp_path):
    cmyk = Image.new('CMYK', (64, 32))
    cmyk.paste((0, 255, 255, 0), (0, 0, 32, 32))  # red ink
    cmyk.paste((0, 0, 0, 128), (32, 0, 64, 32))  # half black
    for path, tolerance in ((save(tmp_path / 'a.jpg', cmyk, quality=95), 6), (save(tmp_path / 'a.tif', cmyk), 0)):
        image = read_image(path).astype(int)
        assert image.shape == (32, 64, 3)
        assert abs(image[16, 8] - RED).max() <= tolerance
        assert abs(image[16, 56] - 127).max() <= tolerance


def ramp16() -> np.ndarray:
    return np.linspace(0, 65535, 256 * 4).round().astype(np.uint16).reshape(32, 32)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_sixteen_bit_grey_is_scaled(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    cv2.imwrite(str(path), ramp16())
    expected = np.rint(ramp16() / 65535 * 255)
    image = read_image(path)
    assert image.dtype == np.uint8 and image.min() == 0 and image.max() == 255
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], expected)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_sixteen_bit_colour_is_scaled(tmp_path, suffix):
    colour = np.stack([ramp16(), ramp16()[::-1], ramp16().T], -1)
    path = tmp_path / f'a.{suffix}'
    cv2.imwrite(str(path), colour[..., ::-1].copy())
    assert abs(read_image(path).astype(int) - np.rint(colour / 257)).max() <= 1  # Pillow drops the lower byte


def twelve_bits() -> np.ndarray:
    return (ramp16() // 16).astype(np.uint16)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_sixteen_bit_file_with_unused_range__is_kept_and_warned_of(tmp_path, suffix, channels):
    pixels = twelve_bits() if channels == 1 else np.stack([twelve_bits()] * channels, -1)
    if channels == 4:
        pixels[..., 3] = 65535
    path = tmp_path / f'a.{suffix}'
    cv2.imwrite(str(path), pixels)
    with pytest.warns(DoubtfulResultWarning) as caught:
        image = read_image(path)
    assert image.max() in (15, 16)  # 4095 / 257; the range is not guessed
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith(f'{path}: ') and '4095' in message and 'multiply by 16 ' in message
    cv2.imwrite(str(path), pixels // 16)
    with pytest.warns(DoubtfulResultWarning, match='by 257 if they have 8 bits'):
        read_image(path)


def test_sixteen_bit_array_with_unused_range__is_warned_of():
    with pytest.warns(DoubtfulResultWarning, match='^the array: .*at most 255 .*by 257'):
        assert read_image(twelve_bits() // 16).max() == 1
    rgba = np.stack([twelve_bits()] * 3 + [np.full_like(twelve_bits(), 65535)], -1)
    with pytest.warns(DoubtfulResultWarning, match='at most 4095'):
        read_image(rgba)


@pytest.mark.parametrize('pixels', [ramp16(), np.full((4, 4), 4096, np.uint16), np.zeros((4, 4), np.uint16)])
def test_sixteen_bits__no_needless_warning(tmp_path, pixels):
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    cv2.imwrite(str(tmp_path / 'b.png'), np.stack([pixels.clip(4096)] * 3, -1))  # Pillow hides the lower byte
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for source in (pixels, tmp_path / 'a.png', tmp_path / 'b.png', quadrants() // 100):
            read_image(source)


def test_palette(tmp_path):
    path = save(tmp_path / 'a.png', Image.fromarray(quadrants()).quantize(4))
    assert Image.open(path).mode == 'P'
    np.testing.assert_array_equal(read_image(path), quadrants())


def test_palette_with_a_transparent_colour_shows_white_there(tmp_path):
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8))
    indexed.putpalette([*RED, *BLUE])
    path = save(tmp_path / 'a.png', indexed, transparency=0)
    assert read_image(path).tolist() == [[list(WHITE), list(BLUE)]]


def test_rgba_is_composited_on_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [0, 0, 0, 0], [0, 0, 255, 128]]], np.uint8)
    expected = [[[255, 0, 0], [255, 255, 255], [127, 127, 255]]]
    assert read_image(save(tmp_path / 'a.png', rgba)).tolist() == expected
    assert read_image(rgba).tolist() == expected


@pytest.mark.parametrize(('mode', 'value', 'expected'), [
    ('L', 90, (90, 90, 90)),
    ('LA', (90, 0), WHITE),
    ('LA', (90, 255), (90, 90, 90)),
    ('1', 1, WHITE),
    ('1', 0, (0, 0, 0)),
    ('HSV', (0, 255, 255), RED),
    ('YCbCr', (255, 128, 128), WHITE),
    ('I;16', 257 * 90, (90, 90, 90)),
    ('I', 257 * 90, (90, 90, 90)),
    ('F', 0.5, (128, 128, 128)),
])
def test_pil_mode(mode, value, expected):
    assert read_image(Image.new(mode, (3, 2), value)).tolist() == [[list(expected)] * 3] * 2


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = quadrants()
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
              5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2),
              8: np.rot90(upright, -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / 'a.png', np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_array_equal(read_image(path), upright)
    np.testing.assert_array_equal(read_image(Image.open(path)), upright)


def test_damaged_exif_leaves_the_picture(tmp_path):
    path = save(tmp_path / 'a.jpg', quadrants(), exif=b'Exif\0\0II*\0\xff\xff\xff\xff')
    assert read_image(path).shape == (4, 6, 3)


@pytest.mark.parametrize('size', [(1, 1), (20000, 3), (3, 20000)])
def test_extreme_sizes(tmp_path, size):
    path = save(tmp_path / 'a.png', Image.new('RGB', size, (10, 20, 30)))
    image = read_image(path)
    assert image.shape == (size[1], size[0], 3)
    assert (image == (10, 20, 30)).all()


@pytest.mark.parametrize(('array', 'expected'), [
    (np.array([[True, False]]), [[[255] * 3, [0] * 3]]),
    (np.array([[0.0, 1.0, 0.5]], np.float32), [[[0] * 3, [255] * 3, [128] * 3]]),
    (np.array([[[65535], [257 * 7]]], '>u2'), [[[255] * 3, [7] * 3]]),
    (np.array([[[1, 2, 3]]], np.uint8), [[[1, 2, 3]]]),
])
def test_array(array, expected):
    image = read_image(array)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert image.tolist() == expected


@pytest.mark.parametrize(('array', 'message'), [
    (np.array([[np.nan]]), 'nan_to_num'),
    (np.array([[np.inf]]), 'nan_to_num'),
    (np.array([[128.0]]), r'scale them to \[0, 1\]'),
    (np.array([[-0.1]]), r'scale them to \[0, 1\]'),
    (np.zeros((3, 8, 9), np.uint8), r'transpose\(1, 2, 0\)'),
    (np.zeros((2, 8, 9, 3), np.uint8), r'list\(array\)'),
    (np.zeros((8, 9, 2), np.uint8), 'give'),
    (np.zeros(8, np.uint8), 'give'),
    (np.zeros((0, 9, 3), np.uint8), 'no pixels'),
    (np.zeros((8, 9), np.int64), 'convert it to uint8'),
    (np.zeros((8, 9), object), 'convert it to uint8'),
])
def test_array__refused(array, message):
    with pytest.raises(ImageError, match=message) as error:
        read_image(array)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('source', [None, 3, b'abc', [[1]]])
def test_other_types__refused(source):
    with pytest.raises(ImageError, match='give a path'):
        read_image(source)


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('zero.png', b'', 'empty'),
    ('text.png', b'this is no picture\n' * 50, 'not a picture'),
    ('page.jpg', b'<!DOCTYPE html><html></html>', 'not a picture'),
])
def test_bad_file__refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as error:
        read_image(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(('source', 'message'), [
    ('nothing.png', 'no such file'), ('.', 'is a folder'), ('a\0b.png', 'check the path'),
    ('x' * 5000, 'check the path'), ('https://example.com/a.png', 'download'), ('file://host/a.png', 'local'),
])
def test_bad_path__refused(source, message):
    with pytest.raises(ImageError, match=message):
        read_image(source)


@pytest.mark.parametrize(('suffix', 'options'), [
    ('png', {}), ('jpg', {}), ('jpg', dict(progressive=True)), ('bmp', {}), ('gif', {}), ('tif', {}),
    ('tif', dict(compression='tiff_lzw')), ('webp', {}), ('ppm', {}),
])
def test_truncated_anywhere__refused_or_whole(tmp_path, suffix, options, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)  # as other libraries do
    whole = save(tmp_path / f'whole.{suffix}', noisy_photo(), **options)
    content, expected = whole.read_bytes(), read_image(whole)
    path = tmp_path / f'cut.{suffix}'
    lengths = [*range(1, len(content), max(1, len(content) // 25)), *(len(content) - n for n in range(1, 6))]
    refused = 0
    for length in lengths:
        path.write_bytes(content[:length])
        try:
            image = read_image(path)
        except ImageError as error:
            refused += '\n' not in str(error)
        else:  # what was cut off held no pixels
            np.testing.assert_array_equal(image, expected)
    assert refused >= len(lengths) - 6
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_truncated_pil_image__refused_each_time():
    buffer = io.BytesIO()
    Image.fromarray(noisy_photo()).save(buffer, 'JPEG')
    image = Image.open(io.BytesIO(buffer.getvalue()[:-300]))
    for _ in range(2):
        with pytest.raises(ImageError, match='truncated'):
            read_image(image)


def test_closed_pil_image__refused(tmp_path):
    image = Image.open(save(tmp_path / 'a.png', quadrants()))
    image.close()
    with pytest.raises(ImageError, match='damaged'):
        read_image(image)


def test_decompression_bomb__refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    assert read_image(save(tmp_path / 'large.png', Image.new('L', (15, 10)))).shape == (10, 15, 3)
    with pytest.raises(ImageError, match='shrink the picture'):
        read_image(save(tmp_path / 'bomb.png', Image.new('L', (50, 50))))


def test_integers_beyond_sixteen_bits__refused():
    with pytest.raises(ImageError, match='beyond 16 bits'):
        read_image(Image.new('I', (2, 2), 70000))


def test_postscript_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr('PIL.EpsImagePlugin.Ghostscript', lambda *args, **options: pytest.fail('Ghostscript runs'))
    with pytest.raises(ImageError, match=r'a\.jpg.*PostScript'):
        read_image(save(tmp_path / 'a.jpg', quadrants(), format='EPS'))

"""Every kind of picture is read as a person sees it, or refused in one line."""
from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import photo, tiff
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


def test_lossless_rgb_files(tmp_path):
    for suffix in ('png', 'bmp', 'tif', 'ppm', 'tga', 'gif'):
        image = read_image(save(tmp_path / f'a.{suffix}', quadrants()))
        np.testing.assert_array_equal(image, quadrants(), err_msg=suffix)


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
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    cv2.imwrite(str(path), ramp16())
    expected = np.rint(ramp16() / 65535 * 255)
    image = read_image(path)
    assert image.dtype == np.uint8 and image.min() == 0 and image.max() == 255
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], expected)
    colour = np.stack([ramp16(), ramp16()[::-1], ramp16().T], -1)
    cv2.imwrite(str(path), colour[..., ::-1].copy())
    assert abs(read_image(path).astype(int) - np.rint(colour / 257)).max() <= 1  # Pillow drops the lower byte


def twelve_bits() -> np.ndarray:
    return (ramp16() // 16).astype(np.uint16)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_sixteen_bit_file_with_unused_range__is_kept_and_warned_of(tmp_path, suffix):
    for channels in (1, 3, 4):
        pixels = twelve_bits() if channels == 1 else np.stack([twelve_bits()] * channels, -1)
        if channels == 4:
            pixels[..., 3] = 65535
        path = tmp_path / f'{channels}.{suffix}'
        cv2.imwrite(str(path), pixels)
        with pytest.warns(DoubtfulResultWarning) as caught:
            image = read_image(path)
        assert image.max() in (15, 16), path  # 4095 / 257; the range is not guessed
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


def test_sixteen_bits__no_needless_warning(tmp_path):
    for pixels in (ramp16(), np.full((4, 4), 4096, np.uint16), np.zeros((4, 4), np.uint16)):
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


def test_pil_modes():
    for mode, value, expected in MODES:
        assert read_image(Image.new(mode, (3, 2), value)).tolist() == [[list(expected)] * 3] * 2, (mode, value)


MODES = [
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
]


def test_exif_orientation(tmp_path):
    upright = quadrants()
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
              5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2),
              8: np.rot90(upright, -1)}
    for orientation, image in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = save(tmp_path / 'a.png', np.ascontiguousarray(image), exif=exif)
        for source in (path, Image.open(path)):
            np.testing.assert_array_equal(read_image(source), upright, err_msg=str(orientation))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation__of_tiff(tmp_path, orientation):
    """Of every kind that Pillow maps into memory, too."""
    colors = np.dstack([photo(5, 7), np.full((5, 7), 255, np.uint8)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = dict(extratags=[(274, 'H', 1, orientation, True)])
    for values, more in ((colors[..., :3], {}), (colors, dict(extrasamples=['unassalpha'])), (colors[..., 0], {})):
        kind = dict(photometric='minisblack' if values.ndim == 2 else 'rgb', **more, **options)
        (tmp_path / 'a.tif').write_bytes(tiff(np.ascontiguousarray(values), **kind))
        expected = read_image(save(tmp_path / 'a.png', np.ascontiguousarray(values), exif=exif))
        np.testing.assert_array_equal(read_image(tmp_path / 'a.tif'), expected)


def test_damaged_exif_leaves_the_picture(tmp_path):
    path = save(tmp_path / 'a.jpg', quadrants(), exif=b'Exif\0\0II*\0\xff\xff\xff\xff')
    assert read_image(path).shape == (4, 6, 3)


def test_extreme_sizes(tmp_path):
    for size in ((1, 1), (20000, 3), (3, 20000)):
        image = read_image(save(tmp_path / 'a.png', Image.new('RGB', size, (10, 20, 30))))
        assert image.shape == (size[1], size[0], 3) and (image == (10, 20, 30)).all()


def test_arrays():
    for array, expected in (
            (np.array([[True, False]]), [[[255] * 3, [0] * 3]]),
            (np.array([[0.0, 1.0, 0.5]], np.float32), [[[0] * 3, [255] * 3, [128] * 3]]),
            (np.array([[[65535], [257 * 7]]], '>u2'), [[[255] * 3, [7] * 3]]),
            (np.array([[[1, 2, 3]]], np.uint8), [[[1, 2, 3]]])):
        image = read_image(array)
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        assert image.tolist() == expected


def refusal(source) -> str:
    with pytest.raises(ImageError) as error:
        read_image(source)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_arrays_and_other_things__refused_with_a_remedy():
    for source, remedy in (
            (np.array([[np.nan]]), 'nan_to_num'), (np.array([[np.inf]]), 'nan_to_num'),
            (np.array([[128.0]]), 'scale them to [0, 1]'), (np.array([[-0.1]]), 'scale them to [0, 1]'),
            (np.zeros((3, 8, 9), np.uint8), 'transpose(1, 2, 0)'), (np.zeros((2, 8, 9, 3), np.uint8), 'list(array)'),
            (np.zeros((8, 9, 2), np.uint8), 'give'), (np.zeros(8, np.uint8), 'give'),
            (np.zeros((0, 9, 3), np.uint8), 'give another'), (np.zeros((8, 9), np.int64), 'convert it to uint8'),
            (np.zeros((8, 9), object), 'convert it to uint8'), (Image.new('I', (2, 2), 70000), 'scale them'),
            (None, 'give a path'), (3, 'give a path'), (b'abc', 'give a path'), ([[1]], 'give a path')):
        assert remedy in refusal(source)


def test_bad_files_and_paths__refused_with_a_remedy(tmp_path):
    for name, content, remedy in (
            ('zero.png', b'', 'copy or download it again'), ('text.png', b'no picture\n' * 50, 'save it as PNG'),
            ('page.jpg', b'<!DOCTYPE html><html></html>', 'save it as PNG')):
        (tmp_path / name).write_bytes(content)
        assert remedy in refusal(tmp_path / name) and str(tmp_path / name) in refusal(tmp_path / name)
    (tmp_path / 'float.tif').write_bytes(tiff(np.zeros((5, 7, 3), np.float32), photometric='rgb'))
    assert '16 bits: as PNG or TIFF' in refusal(tmp_path / 'float.tif')
    for source, remedy in (
            ('nothing.png', 'check the path'), ('.', 'give the pictures in it'), ('a\0b.png', 'check the path'),
            ('x' * 5000, 'check the path'), ('https://example.com/a.png', 'download'), ('file://host/a.png', 'local')):
        assert remedy in refusal(source)


@pytest.mark.parametrize('kinds', [
    [('png', {}), ('gif', {})], [('jpg', {}), ('jpg', dict(progressive=True)), ('webp', {})],
    [('tif', {}), ('tif', dict(compression='tiff_lzw')), ('bmp', {}), ('ppm', {})]], ids=str)
def test_truncated_anywhere__refused_or_whole(tmp_path, kinds, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)  # as other libraries do
    for suffix, options in kinds:
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
                np.testing.assert_array_equal(image, expected, err_msg=f'{suffix} {options} {length}')
        assert refused >= len(lengths) - 6, (suffix, options)
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_nothing_of_the_process_is_touched(tmp_path, monkeypatch):
    """Not even while a picture is read, unless a library has changed Pillow's setting."""
    picture, seen = Image.open(save(tmp_path / 'a.png', quadrants())), []

    def state() -> tuple:
        return ImageFile.LOAD_TRUNCATED_IMAGES, id(warnings.filters), list(warnings.filters)

    load, before = picture.load, state()
    monkeypatch.setattr(picture, 'load', lambda: seen.append(state()) or load())
    np.testing.assert_array_equal(read_image(picture), quadrants())
    assert seen and all(each == before for each in seen)


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


def test_postscript_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr('PIL.EpsImagePlugin.Ghostscript', lambda *args, **options: pytest.fail('Ghostscript runs'))
    with pytest.raises(ImageError, match=r'a\.jpg.*PostScript'):
        read_image(save(tmp_path / 'a.jpg', quadrants(), format='EPS'))

"""Pictures that are given back: depth, alpha, orientation and colours from any source."""
from __future__ import annotations

import struct
from io import BytesIO

import cv2
import numpy as np
import pytest
from pictures import ORIENTATION, cmyk, encoded, photo, png_chunk, rgba, srgb_profile, tiff, wide_gamut_profile
from PIL import Image, ImageOps

from densevit.images import read_deep, read_deep_with_doubts, read_image
from densevit.images.colors import to_srgb

HEADER = 33  # of a PNG: the signature and IHDR, behind which other chunks may stand


def deep_png(values: np.ndarray, orientation: int = 1, profile: bytes | None = None) -> bytes:
    """(H, W) or (H, W, 3 | 4) uint16 as a file."""
    order = values if values.ndim == 2 else values[..., [2, 1, 0, 3][:values.shape[2]]]
    content, exif = cv2.imencode('.png', order)[1].tobytes(), Image.Exif()
    exif[ORIENTATION] = orientation
    chunks = png_chunk(b'eXIf', exif.tobytes().removeprefix(b'Exif\x00\x00'))
    if profile is not None:
        plain = encoded(photo(), 'PNG', icc_profile=profile)
        start = plain.index(b'iCCP') - 4
        chunks += plain[start:start + 12 + struct.unpack_from('>I', plain, start)[0]]
    return content[:HEADER] + chunks + content[HEADER:]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """As Pillow turns it, channel by channel of its two bytes."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    halves = []
    for half in (values >> 8, values & 255):
        image = Image.open(BytesIO(encoded(half.astype(np.uint8), 'PNG', exif=exif)))
        halves.append(np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16))
    return halves[0] << 8 | halves[1]


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('channels', [(), (3,), (4,)])
def test_sixteen_bits__turned(tmp_path, orientation, channels):
    values = noise(5, 7, *channels)
    expected = upright(values, orientation)
    options = dict(photometric='rgb' if channels else 'minisblack', extratags=[(274, 'H', 1, orientation, True)])
    if channels == (4,):
        options['extrasamples'] = ['unassalpha']
    for name, content in (('a.png', deep_png(values, orientation)), ('a.tif', tiff(values, **options)),
                          ('png_without_suffix', deep_png(values, orientation))):
        (tmp_path / name).write_bytes(content)
        seen = read_deep(tmp_path / name)
        assert seen.pixels.dtype == np.uint16
        np.testing.assert_array_equal(seen.pixels, expected[..., :3] if channels else expected[..., None].repeat(3, 2))
        assert (seen.alpha is None) == (channels != (4,))
        if seen.alpha is not None:
            np.testing.assert_array_equal(seen.alpha, expected[..., 3])


@pytest.mark.parametrize('orientation', range(1, 9))
def test_alpha_of_eight_bits__turned(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for image, image_format in ((rgba(), 'PNG'), (rgba(), 'WEBP'), (rgba().convert('LA'), 'PNG')):
        options = dict(lossless=True, exact=True) if image_format == 'WEBP' else {}
        (tmp_path / 'a').write_bytes(encoded(image, image_format, exif=exif, **options))
        with Image.open(tmp_path / 'a') as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened).convert('RGBA'))
            for source in (tmp_path / 'a', opened):
                seen = read_deep(source)
                np.testing.assert_array_equal(np.dstack([*seen]), expected)


def test_arrays_and_pil_images__lose_nothing():
    values = noise(5, 7, 4)
    shares = values / 65535
    for array in (values, values.astype('>u2'), np.asfortranarray(values), shares):
        seen = read_deep(array)
        assert seen.pixels.dtype == np.uint16 == seen.alpha.dtype and seen.pixels.dtype.isnative
        np.testing.assert_array_equal(np.dstack([*seen]), values)
    grey = values[..., 0]
    for source in (grey, grey.astype('>u2'), grey[..., None], grey / 65535, Image.fromarray(grey),
                   Image.fromarray((grey / 65535).astype(np.float32))):
        seen = read_deep(source)
        assert seen.alpha is None
        np.testing.assert_array_equal(seen.pixels, grey[..., None].repeat(3, 2))
    flags = values[..., 0] > 30000
    np.testing.assert_array_equal(read_deep(flags).pixels, flags[..., None].repeat(3, 2).astype(np.uint8) * 255)


def test_a_float_tiff_has_sixteen_bits(tmp_path):
    shares = noise(5, 7) / np.float32(65535)
    Image.fromarray(shares.astype(np.float32)).save(tmp_path / 'a.tif')
    np.testing.assert_array_equal(read_deep(tmp_path / 'a.tif').pixels[..., 0], noise(5, 7))


def test_tiff__alpha_that_is_multiplied_and_a_channel_that_is_none(tmp_path):
    """As Pillow reads their upper bytes."""
    values = noise(5, 7, 4)
    values[..., :3] = values[..., :3] * (values[..., 3:] / 65535)
    for kind, mode in (('assocalpha', 'RGBA'), ('unspecified', 'RGB')):
        (tmp_path / 'a.tif').write_bytes(tiff(values, photometric='rgb', extrasamples=[kind]))
        seen = read_deep(tmp_path / 'a.tif')
        with Image.open(tmp_path / 'a.tif') as image:
            expected = np.asarray(image.convert(mode)).astype(int)
        assert seen.pixels.dtype == np.uint16 and (seen.alpha is None) == (mode == 'RGB')
        found = np.dstack([each for each in seen if each is not None]).astype(int) >> 8
        # Where little is left of a colour, a byte of it says less than two.
        opaque = expected[..., -1:] > 60 if mode == 'RGBA' else np.full((5, 7, 1), True)
        assert (abs(found - expected) * opaque).max() <= (6 if mode == 'RGBA' else 0)


def test_four_inks_are_no_alpha(tmp_path):
    (tmp_path / 'a.tif').write_bytes(tiff(noise(5, 7, 4), photometric='separated'))
    seen = read_deep(tmp_path / 'a.tif')
    np.testing.assert_array_equal(seen.pixels, read_image(tmp_path / 'a.tif'))
    assert seen.alpha is None
    np.testing.assert_array_equal(read_deep(cmyk()).pixels, read_image(cmyk()))


def with_tag(profile: bytes, names: tuple[str, ...], data: bytes, rename: str | None = None) -> bytes:
    """The profile with other data in some of its tags."""
    content = bytearray(profile)
    for index in range(struct.unpack_from('>I', content, 128)[0]):
        place = 132 + 12 * index
        name = content[place:place + 4].decode()
        if name in names:
            struct.pack_into('>4sII', content, place, (rename or name).encode(), len(content), len(data))
    content += data + bytes(-len(data) % 4)
    struct.pack_into('>I', content, 0, len(content))
    return bytes(content)


def parametric(kind: int, *values: float) -> bytes:
    return struct.pack('>4sIHH', b'para', 0, kind, 0) + b''.join(struct.pack('>i', round(65536 * v)) for v in values)


def sampled(*values: int) -> bytes:
    return struct.pack(f'>4sII{len(values)}H', b'curv', 0, len(values), *values)


CURVES = {
    'gamma': sampled(round(1.8 * 256)), 'identity': sampled(), 'samples': sampled(0, 3000, 12000, 30000, 65535),
    'type 0': parametric(0, 2.2), 'type 1': parametric(1, 2, .9, .1), 'type 2': parametric(2, 2, 1.09, -.1, .02),
    'type 3': parametric(3, 2.4, 1 / 1.055, .055 / 1.055, 1 / 12.92, .04045),
    'type 4': parametric(4, 2.4, .9, .05, .1, .05, 0, 0)
}


@pytest.mark.parametrize('name', CURVES)
def test_profile_of_sixteen_bits__as_littlecms_has_it_of_eight(tmp_path, name):
    profile = with_tag(wide_gamut_profile(), ('rTRC', 'gTRC', 'bTRC'), CURVES[name])
    eight = np.random.default_rng(1).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    (tmp_path / 'a.png').write_bytes(deep_png(eight.astype(np.uint16) * 257, profile=profile))
    flat, deep, doubts = read_deep_with_doubts(tmp_path / 'a.png')
    expected = np.asarray(to_srgb(Image.fromarray(eight), profile))
    assert doubts == [] and abs(expected.astype(int) - eight).max() > 10
    np.testing.assert_array_equal(flat, expected)
    difference = abs(deep.pixels / 257 - expected)
    assert difference.mean() < .4
    # With a black above 0 LittleCMS interpolates between nodes, coarsely where colours are clipped.
    assert np.percentile(difference, 98 if name in ('type 1', 'type 2') else 100) < 2


def test_profile_of_sixteen_bits__no_step_is_lost(tmp_path):
    ramp = np.linspace(20000, 24000, 64 * 60).astype(np.uint16).reshape(64, 60)
    values = np.stack([ramp, ramp[::-1], ramp], -1)
    (tmp_path / 'a.png').write_bytes(deep_png(values, profile=wide_gamut_profile()))
    (tmp_path / 'b.png').write_bytes(deep_png(values, profile=srgb_profile()))
    seen = read_deep(tmp_path / 'a.png').pixels
    assert len(np.unique(seen[..., 0])) > 1000
    np.testing.assert_array_equal(read_deep(tmp_path / 'b.png').pixels, values)


def grey_profile() -> bytes:
    """Of a gamma of 1.8: its tags are those of an RGB profile, with the curve of grey."""
    profile = bytearray(with_tag(srgb_profile(), ('rTRC',), sampled(round(1.8 * 256)), 'kTRC'))
    profile[16:20] = b'GRAY'
    return bytes(profile)


def test_profile_of_grey__in_both_depths(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = np.asarray(to_srgb(Image.fromarray(grey), grey_profile())).astype(int)
    assert abs(expected[..., 0] - grey).max() > 10
    (tmp_path / 'a.png').write_bytes(deep_png(grey.astype(np.uint16) * 257, profile=grey_profile()))
    flat, deep, doubts = read_deep_with_doubts(tmp_path / 'a.png')
    assert doubts == [] and abs(flat - expected).max() == 0
    bright = grey > 15  # below, LittleCMS interpolates what is no line
    assert deep.pixels.dtype == np.uint16 and abs(deep.pixels / 257 - expected)[bright].max() < 2


def test_profile_of_a_cut_out__colours_are_converted_and_alpha_is_kept(tmp_path):
    expected = np.asarray(to_srgb(rgba().convert('RGB'), wide_gamut_profile()))
    (tmp_path / 'a.png').write_bytes(encoded(rgba(), 'PNG', icc_profile=wide_gamut_profile()))
    deep = np.dstack([np.asarray(rgba()).astype(np.uint16) * 257])
    (tmp_path / 'deep.png').write_bytes(deep_png(deep, profile=wide_gamut_profile()))
    for name, unit in (('a.png', 1), ('deep.png', 257)):
        seen = read_deep(tmp_path / name)
        assert abs(seen.pixels / unit - expected).max() < 2
        np.testing.assert_array_equal(seen.alpha, np.asarray(rgba())[..., 3].astype(int) * unit)
    grey = rgba().convert('LA')
    (tmp_path / 'la.png').write_bytes(encoded(grey, 'PNG', icc_profile=grey_profile()))
    expected = np.asarray(to_srgb(grey.getchannel(0), grey_profile()))
    np.testing.assert_array_equal(read_deep(tmp_path / 'la.png').pixels, expected)


def table_profile() -> bytes:
    """Its colours are looked up between eight corners, in Lab."""
    identity = bytes(range(256)) * 3
    corners = bytes([20, 160, 90, 80, 90, 200, 200, 60, 190, 220, 110, 120,
                     90, 190, 180, 120, 200, 60, 210, 130, 140, 250, 128, 128])
    matrix = struct.pack('>9i', *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table = b'mft1' + bytes(4) + bytes([3, 3, 2, 0]) + matrix + identity + corners + identity
    profile = bytearray(with_tag(srgb_profile(), ('cprt',), table, 'A2B0'))
    profile[20:24] = b'Lab '
    return bytes(profile)


def test_profile_of_tables__sixteen_bits_stay_and_it_is_said(tmp_path):
    (tmp_path / 'deep.png').write_bytes(deep_png(photo().astype(np.uint16) * 257, profile=table_profile()))
    flat, deep, (doubt,) = read_deep_with_doubts(tmp_path / 'deep.png')
    assert abs(flat.astype(int) - photo()).max() > 10  # of 8 bits there is a conversion
    np.testing.assert_array_equal(deep.pixels, photo().astype(np.uint16) * 257)
    assert 'deep.png' in doubt and 'convert the picture to sRGB' in doubt


def test_profile_that_is_damaged__said_once(tmp_path):
    for profile in (b'no profile', wide_gamut_profile()[:300], grey_profile()):
        (tmp_path / 'a.png').write_bytes(deep_png(noise(5, 7, 3), profile=profile))
        _, deep, doubts = read_deep_with_doubts(tmp_path / 'a.png')
        np.testing.assert_array_equal(deep.pixels, noise(5, 7, 3))
        assert len(doubts) == 1 and 'colour profile' in doubts[0]

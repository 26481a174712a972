"""Picture files of every kind that users have, made by the tests."""
from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

ORIENTATION = 0x0112  # of EXIF


def photo(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """Smooth colours without a plain row, (height, width, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(20, 235, (4, 5, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def deep(bits: int = 16, channels: int = 1) -> np.ndarray:
    """The photo with values of as many bits as asked for, (H, W) or (H, W, channels) uint16."""
    values = photo().astype(np.float64) / 255 * (2**bits - 1)
    return values.round().astype(np.uint16)[..., 0 if channels == 1 else slice(channels)]


def encoded(image: Image.Image | np.ndarray, image_format: str, **options) -> bytes:
    """A picture file's content."""
    buffer = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def rgba() -> Image.Image:
    """A cut-out: nothing on the left, half-transparent in the middle, opaque on the right; black under it all."""
    image = Image.fromarray(photo()).convert('RGBA')
    alpha = np.repeat([0, 128, 255, 255], 8).astype(np.uint8)[None].repeat(24, 0)
    image.putalpha(Image.fromarray(alpha))
    return image


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(photo(), 'JPEG', quality=95, exif=exif)


def tiff(values: np.ndarray, **options) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def png(width: int, height: int, rows: bytes, color_type: int = 2, bits: int = 8, interlace: int = 0) -> bytes:
    """A PNG whose header may claim what its data do not hold."""
    header = struct.pack('>IIBBBBB', width, height, bits, color_type, 0, 0, interlace)
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        png_chunk(name, data)
        for name, data in ((b'IHDR', header), (b'IDAT', zlib.compress(rows, 9)), (b'IEND', b'')))


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def jpeg_that_claims(width: int, height: int, **options) -> bytes:
    """A small JPEG whose header says that it is large."""
    content = bytearray(encoded(photo(64, 64), 'JPEG', **options))
    marker = b'\xff\xc2' if options.get('progressive') else b'\xff\xc0'
    struct.pack_into('>HH', content, content.index(marker) + 5, height, width)
    return bytes(content)


def wide_gamut_profile() -> bytes:
    """An RGB profile with the primaries of Display P3 and a gamma of 2.2, made from the built-in sRGB one."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    primaries = dict(rXYZ=(.5151, .2412, -.0011), gXYZ=(.2920, .6922, .0419), bXYZ=(.1571, .0666, .7841))
    for index in range(struct.unpack_from('>I', content, 128)[0]):
        tag, offset, _ = struct.unpack_from('>4sII', content, 132 + 12 * index)
        if tag.decode() in primaries:
            struct.pack_into('>3i', content, offset + 8, *(round(65536 * x) for x in primaries[tag.decode()]))
    return bytes(content)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


def cmyk() -> Image.Image:
    return Image.fromarray(photo()).convert('CMYK')


def _opencv(values: np.ndarray) -> bytes:
    order = [2, 1, 0, 3]
    return cv2.imencode('.png', values if values.ndim == 2 else values[..., order[:values.shape[2]]])[1].tobytes()


def _palette_with_a_transparent_color() -> bytes:
    return encoded(Image.fromarray(photo()).quantize(8), 'PNG', transparency=3)


# Each kind that training and predictions once read differently, and the plain ones.
KINDS: dict[str, Callable[[], bytes]] = {
    'rgb.jpg': lambda: encoded(photo(), 'JPEG', quality=90),
    'rgb_progressive.jpg': lambda: encoded(photo(), 'JPEG', progressive=True),
    'rgb.png': lambda: encoded(photo(), 'PNG'),
    'rgba.png': lambda: encoded(rgba(), 'PNG'),
    'rgba.webp': lambda: encoded(rgba(), 'WEBP', lossless=True, exact=True),
    'la.png': lambda: encoded(rgba().convert('LA'), 'PNG'),
    'palette_transparent.png': _palette_with_a_transparent_color,
    'palette.gif': lambda: encoded(Image.fromarray(photo()).quantize(16), 'GIF'),
    'grey_16.png': lambda: _opencv(deep(16)),
    'grey_12.png': lambda: _opencv(deep(12)),
    'rgb_16.png': lambda: _opencv(deep(16, 3)),
    'rgb_12.png': lambda: _opencv(deep(12, 3)),
    'cmyk.jpg': lambda: encoded(cmyk(), 'JPEG', quality=95),
    'exif_3.jpg': lambda: turned(3),
    'exif_6.jpg': lambda: turned(6),
    'exif_8.jpg': lambda: turned(8),
    'bilevel.png': lambda: encoded(Image.fromarray(photo()).convert('1'), 'PNG'),
    'grey.png': lambda: encoded(photo()[..., 0].copy(), 'PNG'),
    'grey.jpg': lambda: encoded(photo()[..., 0].copy(), 'JPEG'),
    'white_is_zero_8.tif': lambda: tiff(255 - photo()[..., 0], photometric='miniswhite'),
    'white_is_zero_16.tif': lambda: tiff(65535 - deep(16), photometric='miniswhite'),
    'black_is_zero_16.tif': lambda: tiff(deep(16), photometric='minisblack'),
    'wide_gamut.png': lambda: encoded(photo(), 'PNG', icc_profile=wide_gamut_profile()),
    'wide_gamut.jpg': lambda: encoded(photo(), 'JPEG', icc_profile=wide_gamut_profile()),
    'srgb.jpg': lambda: encoded(photo(), 'JPEG', icc_profile=srgb_profile()),
}


def write(folder: Path, name: str) -> Path:
    """A file of one of the kinds."""
    path = folder / name
    path.write_bytes(KINDS[name]())
    return path

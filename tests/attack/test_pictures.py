"""Some 300 pictures of every kind, whole and broken: each is read rightly or refused in one line.

The files are made here and are the same each time.
"""
from __future__ import annotations

import resource
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pictures import (
    KINDS,
    ORIENTATION,
    encoded,
    jpeg_that_claims,
    photo,
    png,
    png_chunk,
    srgb_profile,
    tiff,
    wide_gamut_profile,
)
from PIL import Image

from densevit.datasets import LoadImage
from densevit.errors import printable
from densevit.images import ImageError, read_with_doubts
from densevit.inference.cli import main as infer

SIZE = (24, 32)  # of photo()


class Case(NamedTuple):
    """A file's name and content, and what is to come of it."""

    name: str
    content: bytes
    size: tuple[int, int] | None = None  # height and width that are to be read, if that is known
    refused: bool = False  # whether it has to be


FORMATS = {
    'jpg': dict(image_format='JPEG'), 'progressive.jpg': dict(image_format='JPEG', progressive=True),
    'png': dict(image_format='PNG'), 'gif': dict(image_format='GIF'), 'bmp': dict(image_format='BMP'),
    'tif': dict(image_format='TIFF'), 'deflate.tif': dict(image_format='TIFF', compression='tiff_deflate'),
    'webp': dict(image_format='WEBP'), 'jp2': dict(image_format='JPEG2000'), 'tga': dict(image_format='TGA'),
    'ppm': dict(image_format='PPM'), 'ico': dict(image_format='ICO', sizes=[(32, 24)]),
}


def modes() -> Iterator[Case]:
    for name in KINDS:
        yield Case(name, KINDS[name](), SIZE[::-1] if name in ('exif_6.jpg', 'exif_8.jpg') else SIZE)
    for color_type, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items():
        for bits in depths:
            channels = {0: 1, 2: 3, 4: 2, 6: 4}[color_type]
            row = np.random.default_rng(bits).integers(0, 256, (5 * bits * channels + 7) // 8, np.uint8).tobytes()
            for interlace in (0, 1):
                rows = (b'\0' + row) * 12 if not interlace else _interlaced(5, 3, bits * channels)
                content = png(5, 12 if not interlace else 3, rows, color_type, bits, interlace)
                yield Case(f'png_{color_type}_{bits}_{interlace}.png', content, (12 if not interlace else 3, 5))
    for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'YCbCr', 'HSV', 'LAB', 'I', 'F', 'I;16'):
        image = Image.fromarray(photo()[..., 0].astype(np.float32) / 255) if mode == 'F' else (
            Image.fromarray(photo()[..., 0].astype(np.int32) * 257) if mode == 'I' else
            Image.fromarray(photo()[..., 0].astype(np.uint16) * 257) if mode == 'I;16' else
            Image.fromarray(photo()).convert(mode) if mode != 'LAB' else Image.new('LAB', SIZE[::-1]))
        for image_format in ('PNG', 'TIFF', 'WEBP', 'JPEG', 'TGA', 'PCX', 'SGI', 'IM'):
            try:
                content = encoded(image, image_format)
            except (OSError, KeyError, ValueError):
                continue  # the format has no such mode
            yield Case(f'{mode.replace(";", "")}.{image_format.lower()}', content, None if mode == 'LAB' else SIZE)
    for bits in (8, 16, 32):
        for kind in ('minisblack', 'miniswhite'):
            values = (photo()[..., 0].astype(np.uint64) * (2**bits - 1) // 255).astype(f'u{bits // 8}')
            yield Case(f'{kind}_{bits}.tif', tiff(values, photometric=kind), SIZE if bits < 32 else None)


def _interlaced(width: int, height: int, bits: int) -> bytes:
    """Zeros for each pass of Adam7."""
    passes = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
    data = b''
    for x, dx, y, dy in passes:
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        data += bytes((1 + (columns * bits + 7) // 8) * rows if columns else 0)
    return data


def sizes() -> Iterator[Case]:
    for height, width in ((1, 1), (15, 20), (3, 3000), (3000, 3)):
        for name in ('jpg', 'png', 'bmp', 'tif'):
            image = photo(height, width) if min(height, width) > 3 else np.full((height, width, 3), 77, np.uint8)
            yield Case(f'{width}x{height}.{name}', encoded(image, **FORMATS[name]), (height, width))


def cut_off() -> Iterator[Case]:
    for name, options in FORMATS.items():
        content = encoded(photo(96, 96, seed=2), **(options if name != 'ico' else dict(image_format='ICO')))
        for share in (.02, .3, .5, .9, .99):
            yield Case(f'cut_{share}.{name}', content[:int(share * len(content))], refused=share < .5)


def claims() -> Iterator[Case]:
    """More pixels than there are."""
    yield Case('claims_3000.jpg', jpeg_that_claims(3000, 3000), refused=True)
    yield Case('claims_65000.jpg', jpeg_that_claims(65000, 65000), refused=True)
    yield Case('claims_2000_progressive.jpg', jpeg_that_claims(2000, 2000, progressive=True), refused=True)
    rows = b''.join(b'\0' + row.tobytes() for row in photo(64, 64))
    for width, height in ((64, 6000), (6000, 6000), (0, 0), (2**31 - 1, 2**31 - 1), (64, 200)):
        yield Case(f'claims_{width}x{height}.png', png(width, height, rows), refused=True)
    yield Case('bomb.png', png(30000, 30000, bytes(30001 * 100), 0), refused=True)
    yield Case('bomb_rows.png', png(4000, 2000, bytes(4001 * 2000), 0), (2000, 4000))  # black, 8 kB
    for name, place, layout in (('bmp', 18, '<ii'), ('gif', 6, '<HH'), ('tga', 12, '<HH')):
        content = bytearray(encoded(photo(), **FORMATS[name]))
        struct.pack_into(layout, content, place, 30000, 30000)
        yield Case(f'claims.{name}', bytes(content), refused=name != 'gif')
    yield Case('claims.ppm', encoded(photo(), 'PPM').replace(b'32 24', b'32 9999'), refused=True)
    for chunk, data in ((b'zTXt', b'Comment\0\0' + zlib.compress(bytes(3 * 10**7))),
                        (b'iCCP', b'profile\0\0' + zlib.compress(bytes(3 * 10**7)))):
        content = encoded(photo(), 'PNG')
        yield Case(f'bomb_{chunk.decode()}.png', content[:33] + png_chunk(chunk, data) + content[33:])


def headers() -> Iterator[Case]:
    for value in range(10):
        exif = Image.Exif()
        exif[ORIENTATION] = value
        turned = 5 <= value <= 8
        yield Case(f'orientation_{value}.jpg', encoded(photo(), 'JPEG', exif=exif), SIZE[::-1] if turned else SIZE)
    for index, data in enumerate((
            b'Exif\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0MM\0*' + bytes(90), b'x' * 60000)):
        yield Case(f'exif_broken_{index}.jpg', encoded(photo(), 'JPEG', exif=data), SIZE)
    whole = wide_gamut_profile()
    for index, profile in enumerate((
            b'', b'x', bytes(4000), whole[:128], whole[:400], whole[:-1], whole[::-1], srgb_profile(),
            whole[:16] + b'CMYK' + whole[20:], whole[:16] + b'GRAY' + whole[20:])):
        for name in ('jpg', 'png', 'tif', 'webp'):
            yield Case(f'profile_{index}.{name}', encoded(photo(), icc_profile=profile, **FORMATS[name]), SIZE)
    frames = [Image.fromarray(photo(seed=seed)) for seed in range(3)]
    for image_format in ('GIF', 'WEBP', 'PNG', 'TIFF'):
        content = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        yield Case(f'animated.{image_format.lower()}', content, SIZE)


def fuzzed() -> Iterator[Case]:
    generator = np.random.default_rng(0)
    for name, options in FORMATS.items():
        content = encoded(photo(), **options)
        for index in range(9):
            bytes_ = bytearray(content)
            region = len(bytes_) if index % 3 else min(120, len(bytes_))  # headers more often than pixels
            for place in generator.integers(0, region, 1 + 2 * index):
                bytes_[place] = generator.integers(256)
            yield Case(f'fuzzed_{index}.{name}', bytes(bytes_))


def no_pictures() -> Iterator[Case]:
    for name, content in {
            'empty.jpg': b'', 'text.png': b'hello\n' * 99, 'page.jpg': b'<!DOCTYPE html>',
            'pointer.png': b'version https://git-lfs.github.com/spec/v1', 'zip.jpg': b'PK\3\4' + bytes(99),
            'svg.png': b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'nul.png': bytes(999),
            'heic.jpg': b'\0\0\0\x18ftypheic' + bytes(99), 'mp4.jpg': b'\0\0\0\x18ftypisom' + bytes(99),
            'head.png': b'\x89PNG\r\n\x1a\n', 'head.jpg': b'\xff\xd8\xff', 'tiff.tif': b'II*\0\x08\0\0\0\0\0'}.items():
        yield Case(name, content, refused=True)
    for name in ('caf\udce9.png', 'two\nlines.png', '\x1b[2J.png', 'a\u202egnp.png', 'x' * 250 + '.png', '写真.png'):
        yield Case(name, encoded(photo(), 'PNG'), SIZE)
        yield Case(f'broken{name[-100:]}', b'no picture', refused=True)


GROUPS = (modes, sizes, cut_off, claims, headers, fuzzed, no_pictures)


def write(folder: Path, case: Case) -> Path:
    path = folder / case.name
    path.write_bytes(case.content)
    return path


def check_line(message: str) -> None:
    assert printable(message) == message and 10 < len(message) < 1000
    assert '; ' in message  # and a remedy


def peak_memory() -> int:
    """Of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


@pytest.mark.parametrize('group', GROUPS, ids=lambda group: group.__name__)
def test_read_or_refused(tmp_path, group):
    before, load = peak_memory(), LoadImage()
    for case in group():
        path = write(tmp_path, case)
        with warnings.catch_warnings(record=True) as leaked:
            warnings.simplefilter('always')
            try:
                image, doubts = read_with_doubts(path)
            except ImageError as error:
                check_line(str(error))
                assert case.size is None, f'{case.name!r}: {error}'
                continue
        own = [warning for warning in leaked if 'PIL' not in Path(warning.filename).parts]  # Pillow's are its own
        assert not own, (case.name, [str(warning.message) for warning in own])
        assert not case.refused, f'{case.name!r} was read as {image.shape}'
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
        assert case.size is None or image.shape[:2] == case.size, case.name
        for doubt in doubts:
            check_line(doubt)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            np.testing.assert_array_equal(load(dict(img_path=path))['img'][..., ::-1], image)
    assert peak_memory() - before < 2**30


def test_there_are_as_many_as_is_said():
    names = [case.name for group in GROUPS for case in group()]
    assert len(names) > 300 and len(set(names)) == len(names)


def test_through_the_command(tmp_path, tiny_config, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in').mkdir()
    chosen = ('rgba.png', 'grey_12.png', 'cmyk.jpg', 'exif_6.jpg', 'white_is_zero_16.tif', '1x1.png', '3000x3.png',
              'claims_3000.jpg', 'bomb.png', 'cut_0.5.jpg', 'profile_2.png', 'animated.gif', 'empty.jpg', 'text.png',
              'heic.jpg', 'caf\udce9.png', 'two\nlines.png', '\x1b[2J.png', 'x' * 250 + '.png', 'broken\x1b[2J.png')
    cases = {case.name: case for group in GROUPS for case in group()}
    for name in chosen:
        write(tmp_path / 'in', cases[name])
    code = infer(['in', '--config', str(tiny_config), '--allow-random', '--device', 'cpu', '--json', '--masks'])
    out, err = capfd.readouterr()
    assert code == 2
    for line in (out + err).splitlines():
        assert printable(line) == line
    lines = [line for line in err.splitlines() if line.startswith('failed: ')]
    assert len(lines) == sum(cases[name].refused or 'cut' in name for name in chosen), err
    assert f'{len(chosen) - len(lines)} of {len(chosen)} pictures predicted' in out
    assert len(list(Path('outputs').glob('*.json'))) == len(chosen) - len(lines)
    assert 'Traceback' not in err

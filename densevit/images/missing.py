"""Pictures that claim more pixels than their file holds.

Decoders end quietly where a file's data do, if only its end is marked: libjpeg leaves the rest grey, others leave the
memory of the picture as it was. What is left looks like a picture with a plain lower part, and so may a whole one.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

# Of the rows. Less than that is read as it is.
_TOLERATED = 0.25

# Formats whose decoders in Pillow may leave rows unwritten without an error; those of others raise one.
_LEFT_AS_IT_WAS = ('PNG', 'TIFF', 'JPEG2000')

_START_OF_SCAN, _END_OF_IMAGE = b'\xff\xda', b'\xff\xd9'
_MAX_SCANS = 100  # that get noise; encoders write about ten, and thousands would fill the memory with it
# The end of a scan's data: a marker that is neither an escaped byte, a restart nor a filling.
_END_OF_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')


def missing_share(image: Image.Image, reopen: Callable[[], Image.Image]) -> float:
    """The share of a loaded picture's rows that its file has no data for; 0 if it is a quarter or less.

    A second look, which costs a second decoding, is taken only at pictures whose lower quarter is plain in the one
    colour that an unfinished decoding leaves.

    Args:
        image: As Pillow has loaded it.
        reopen: Opens the same file again.
    """
    if image.format in ('JPEG', 'MPO'):
        plain = _plain_rows(image, (127, 128))  # the middle of the range, and that of inverted inks
        return plain if plain > _TOLERATED and _ran_out_of_bytes(image, plain, reopen) else 0.0
    if image.format not in _LEFT_AS_IT_WAS or _plain_rows(image, (0,)) <= _TOLERATED:
        return 0.0
    again = reopen()
    with again:
        bands = len(again.getbands())
        # The decoder fills the memory that is there.
        again.im = Image.new(again.mode, again.size, (1,) * bands if bands > 1 else 1).im
        again.load()
        unwritten = _plain_rows(again, (1,))
    return unwritten if unwritten > _TOLERATED else 0.0


def _plain_rows(image: Image.Image, values: tuple[int, ...]) -> float:
    """The share of rows, from the last one up, that hold nothing but one colour made of these values."""
    color, bottom, step = None, image.height, 1
    while bottom:
        top = max(0, bottom - step)
        rows = np.asarray(image.crop((0, top, image.width, bottom)))
        if color is None:
            color, step = rows[0, 0], 256  # most pictures end here, after a row
            if not np.isin(color, values).all():
                return 0.0
        differs = np.flatnonzero((rows != color).reshape(len(rows), -1).any(1))
        if len(differs):
            return (image.height - top - differs[-1] - 1) / image.height
        bottom = top
    return 1.0


def _ran_out_of_bytes(image: Image.Image, plain: float, reopen: Callable[[], Image.Image]) -> bool:
    """Whether bytes put behind each scan of a JPEG change the plain part: a decoder that has all rows reads no more."""
    again = reopen()
    with again:
        again.fp.seek(0)
        content = again.fp.read()
    with Image.open(BytesIO(_with_noise(content))) as changed:
        changed.load()
        first = image.height - round(plain * image.height)
        middle = first + (image.height - first) // 2  # arithmetic coding leaves out zeros at the end of a scan
        region = (0, max(0, first - 64), image.width, max(middle, first + 1))  # the data end in a row above
        return bool((np.asarray(changed.crop(region)) != np.asarray(image.crop(region))).any())


def _with_noise(content: bytes) -> bytes:
    """A JPEG with noise behind the data of each scan, and restarts in it for a decoder that waits for one."""
    pieces = np.random.default_rng(0).integers(0, 255, (64, 1024), np.uint8)  # no byte of 255, so no other marker
    noise = b''.join(piece.tobytes() + bytes([255, 0xd0 + index % 8]) for index, piece in enumerate(pieces))
    parts, start, scans = [content[:2]], 2, 0
    while content[start:start + 1] == b'\xff' and content[start:start + 2] != _END_OF_IMAGE:
        stop = start + 2 + int.from_bytes(content[start + 2:start + 4], 'big')
        if content[start:start + 2] != _START_OF_SCAN:
            parts.append(content[start:stop])
        else:
            end = _END_OF_SCAN.search(content, stop)
            stop = end.start() if end else len(content)
            scans += 1
            parts += [content[start:stop], noise if scans <= _MAX_SCANS else b'']
        start = stop
    return b''.join([*parts, content[start:]])

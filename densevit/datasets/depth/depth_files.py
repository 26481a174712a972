"""Depth on the disk: PNG of 16 bits with a scale, NumPy's .npy, PFM and TIFF of floating-point numbers."""
from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import one_line
from ...images.missing import missing_share

SUFFIXES = ('.npy', '.pfm', '.png', '.tif', '.tiff')
_SIXTEEN_BITS = ('I;16', 'I;16B', 'I;16L', 'I;16N', 'I')
_PFM_HEADER = re.compile(rb'^(PF|Pf)\s+(\d+)\s+(\d+)\s+(-?[\d.eE+-]+)\s')


class DepthFileError(ValueError):
    """A file holds no map of depth; the message names it and the remedy."""


def read_depth(path: str | Path, scale: float = 1000.) -> np.ndarray:
    """Metres (H, W) float32; 0 where the depth is not known: where the file has 0, less, NaN or infinity.

    Args:
        path: ``.png`` or ``.tif`` of 16 bits, whose values are divided by ``scale``; ``.npy``, ``.pfm`` or ``.tif`` of
            floating-point numbers, which are metres.
        scale: Values of a file of whole numbers per metre: 1000 for millimetres (NYUv2), 256 for KITTI.

    Raises:
        DepthFileError: The file has three channels, 8 bits, or is damaged.
        FileNotFoundError: There is none.
    """
    values = _read(Path(path))
    if values.dtype.kind in 'iu':
        values = values.astype(np.float32) / np.float32(scale)
    depth = values.astype(np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth


def _read(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist: it should hold the depth of an image')
    try:
        values = _read_npy(path) if suffix == '.npy' else _read_pfm(path) if suffix == '.pfm' else _read_picture(path)
    except DepthFileError:
        raise
    except Exception as error:  # of Pillow's many decoders; NumPy raises EOFError, MemoryError, TokenError ..., too
        raise DepthFileError(f'{path} cannot be read as depth ({one_line(error)}): write it anew') from error
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[..., 0] if values.shape[2] == 1 else values[0]
    if values.ndim != 2:
        raise DepthFileError(f'{path} holds an array of shape {values.shape}: depth has one number a pixel, (H, W)')
    return values


def _read_npy(path: Path) -> np.ndarray:
    values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray):
        raise DepthFileError(f'{path} is an archive of arrays (.npz): save one array of metres by np.save')
    if values.dtype.kind not in 'fiu':
        raise DepthFileError(f'{path} holds numbers of type {values.dtype}: save metres as float32')
    if values.dtype.kind in 'iu' and values.dtype.itemsize == 1:
        raise DepthFileError(_too_few_bits(path))
    return values


def _read_pfm(path: Path) -> np.ndarray:
    content = path.read_bytes()
    header = _PFM_HEADER.match(content)
    if header is None:
        raise DepthFileError(f'{path} is no PFM file: its first line is Pf, then width, height and the byte order')
    if header[1] == b'PF':
        raise DepthFileError(f'{path} is a PFM file in colour: depth is one of a channel, Pf')
    width, height, order = int(header[2]), int(header[3]), float(header[4])
    values = np.frombuffer(content, '<f4' if order < 0 else '>f4', width * height, header.end())
    return values.reshape(height, width)[::-1].astype(np.float32)  # rows from the bottom up


def _read_picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        if image.mode in _SIXTEEN_BITS or image.mode == 'F':
            values = np.array(image)
            if missing := missing_share(image, lambda: Image.open(path)):
                raise DepthFileError(f'{path} claims {image.width}x{image.height} pixels, but the file holds only '
                                     f'{1 - missing:.1%} of them: write it anew')
            return values
        if image.mode in ('1', 'L', 'P', 'LA'):
            raise DepthFileError(_too_few_bits(path))
        raise DepthFileError(f'{path} is a picture in colour ({image.mode}): save depth as PNG of 16 bits with one '
                             'channel, or metres as .npy')


def _too_few_bits(path: Path) -> str:
    return (f'{path} has 8 bits a pixel, which tell 256 depths apart: save it as PNG of 16 bits (millimetres), or '
            'metres as .npy')


def depth_png(depth: np.ndarray, scale: float = 1000.) -> Image.Image:
    """Metres (H, W) as a picture of 16 bits, of values per metre; 0 where they are not known or do not fit."""
    values = np.rint(np.nan_to_num(depth, nan=0., posinf=0., neginf=0.) * scale)
    return Image.fromarray(np.where((values > 0) & (values <= 65535), values, 0).astype(np.uint16))


def depth_npy(depth: np.ndarray) -> bytes:
    """Metres (H, W) as the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(depth, np.float32))
    return buffer.getvalue()


def depth_pfm(depth: np.ndarray) -> bytes:
    """Metres (H, W) as the content of a PFM file: little-endian, rows from the bottom up."""
    height, width = depth.shape
    return b'Pf\n%d %d\n-1.0\n' % (width, height) + np.asarray(depth[::-1], '<f4').tobytes()

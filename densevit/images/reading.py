"""Files, PIL images and arrays to RGB, uint8, (H, W, 3)."""
from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image, ImageFile, ImageOps

from ..errors import DoubtfulResultWarning, one_line, printable
from . import heif
from .colors import ProfileError, grey_to_rgb, on_white, to_srgb
from .missing import missing_share

ImageSource = str | os.PathLike | Image.Image | np.ndarray

# Single-channel modes of Pillow that hold 16 bits; 'I' (32 bits) is how older versions open a 16-bit PNG.
SIXTEEN_BIT_MODES = ('I;16', 'I;16L', 'I;16B', 'I;16N', 'I')

# What Pillow's decoders call files of 16 bits per colour, which it opens as 8 bits.
_SIXTEEN_BIT_COLORS = re.compile(r'(RGB\w?|LA);16[BLN]')

# Cameras and microscopes write 8, 10 or 12 bits into files of 16: bits to the factor that spreads them over the range.
_SPREAD = {8: 257, 10: 64, 12: 16}

_ORIENTATION = 0x0112  # of EXIF
_TURNS = {
    1: lambda pixels: pixels, 2: lambda pixels: pixels[:, ::-1], 3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1], 5: lambda pixels: pixels.swapaxes(0, 1), 6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90
}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # of TIFF; the latter is 0 where white is the least value


class ImageError(ValueError):
    """A picture that cannot be used; the message is one line and says what to do about it."""


class _WholeFiles:
    """While it is entered, Pillow refuses half-read files even if another library has told it to take them.

    Pillow has one setting for the whole process. Where it is as it comes, nothing is touched; where a library has
    changed it, it is put back when the last of the threads that read is done.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._was_changed = False

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if ImageFile.LOAD_TRUNCATED_IMAGES:
                self._was_changed, ImageFile.LOAD_TRUNCATED_IMAGES = True, False

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers and self._was_changed:
                self._was_changed, ImageFile.LOAD_TRUNCATED_IMAGES = False, True


whole_files = _WholeFiles()


def read_image(source: ImageSource) -> np.ndarray:
    """Read a picture as a person sees it: turned as EXIF says, transparent parts on white, the first frame only.

    Colours are converted to sRGB by the file's ICC profile, if it has one; CMYK without a profile is converted by the
    plain formula. Sixteen-bit values are scaled to eight (65535 -> 255), not clipped.

    Args:
        source: A path, a ``file://`` URL, a PIL image, or an array (H, W) or (H, W, 1 | 3 | 4) in RGB(A) order of
            type bool, uint8, uint16, or float with values in [0, 1].

    Returns:
        (H, W, 3) uint8, RGB, a copy.

    Raises:
        ImageError: The file is missing, a folder, empty, truncated, no picture, or lacks a quarter of the rows that it
            claims; the array has another shape, type or range, or holds NaN.

    Warns:
        DoubtfulResultWarning: See `read_with_doubts`. What Pillow warns of, such as damaged EXIF data, it says itself.
    """
    image, doubts = read_with_doubts(source)
    for doubt in doubts:
        warnings.warn(doubt, DoubtfulResultWarning, stacklevel=2)
    return image


def read_with_doubts(source: ImageSource) -> tuple[np.ndarray, list[str]]:
    """`read_image`, with what a user should know about the picture in place of warnings.

    That is: sixteen-bit values below 4096, which come out nearly black; a colour profile that could not be used.
    """
    doubts: list[str] = []
    if isinstance(source, np.ndarray):
        return _from_array(source, 'the array', doubts), doubts
    if not isinstance(source, str | os.PathLike | Image.Image):
        raise ImageError(f'cannot read a picture from {type(source).__name__}: give a path, a PIL image or a NumPy '
                         'array (for a tensor: tensor.permute(1, 2, 0).cpu().numpy())')
    with whole_files:
        if isinstance(source, Image.Image):
            return _from_pil(source, 'the PIL image', doubts), doubts
        return _from_path(local_path(source), doubts), doubts


def local_path(source: str | os.PathLike) -> Path:
    """The path behind a path or a ``file://`` URL, with ``~`` expanded.

    Raises:
        ImageError: A URL of another scheme or of another host.
    """
    text = os.fspath(source)
    if '://' not in text:
        try:
            return Path(text).expanduser()
        except RuntimeError:  # '~name.jpg' may be a file of that name
            return Path(text)
    url = urlsplit(text)
    if url.scheme != 'file' or url.netloc not in ('', 'localhost'):
        raise ImageError(f'{printable(text)}: only local files are read; download the picture and give its path')
    path = unquote(url.path, errors='surrogateescape')
    # file:///C:/a.png has the path /C:/a.png
    return Path(path[1:] if os.name == 'nt' and path[2:3] == ':' else path)


def _from_path(path: Path, doubts: list[str]) -> np.ndarray:
    _check_file(path)
    name = printable(path)
    try:
        with open_picture(path) as image:
            return _from_pil(image, name, doubts, lambda: open_picture(path))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f'{name}: {one_line(error)}; shrink the picture or cut it into tiles first') from error
    except PermissionError as error:
        raise ImageError(f'{name}: not readable; change its permissions') from error
    except MemoryError as error:
        raise ImageError(f'{name}: needs more memory than there is; shrink the picture first') from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageError(f'{name}: not a picture that Pillow can read; save it as PNG or JPEG (of 16 bits: as PNG or '
                         'TIFF)') from error


def open_picture(path: Path) -> Image.Image:
    """A file as Pillow opens it, HEIC as pillow-heif does; nothing is decoded yet.

    Raises:
        ImageError: HEIC without pillow-heif, or PostScript.
        OSError: Whatever Pillow raises of what is no picture.
    """
    try:
        image = Image.open(path)
    except Image.UnidentifiedImageError as error:
        if not heif.is_heif(path):
            raise
        if not heif.has_heif():
            raise ImageError(f'{printable(path)}: is a HEIC picture; to read it run: {heif.INSTALL}') from error
        return heif.open_heif(path)
    if image.format == 'TIFF':
        # Pixels that it maps into memory Pillow lays out by the size that the picture has when it is turned.
        image.filename = ''
    if image.format == 'EPS':  # whatever the file's name; Pillow would have Ghostscript run it
        image.close()
        raise ImageError(f'{printable(path)}: is PostScript, which is a program; save it as PNG or JPEG')
    return image


def _check_file(path: Path) -> None:
    name = printable(path)
    try:
        if not path.exists():
            raise ImageError(f'{name}: no such file; check the path')
        if path.is_dir():
            raise ImageError(f'{name}: is a folder; give the pictures in it')
        if not path.is_file():
            raise ImageError(f'{name}: is not a regular file; give a picture')
        if path.stat().st_size == 0:
            raise ImageError(f'{name}: the file is empty (0 bytes); copy or download it again')
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = error.strerror if isinstance(error, OSError) else one_line(error)
        raise ImageError(f'{name[:200]}: {reason}; check the path') from error


def _from_pil(
    image: Image.Image, name: str, doubts: list[str], reopen: Callable[[], Image.Image] | None = None,
) -> np.ndarray:
    if 0 in image.size:
        raise ImageError(f'{name}: has no pixels ({image.width}x{image.height}); give another picture')
    is_deep = is_of_deep_colors(image)
    try:
        image.load()  # Pillow decodes lazily: only now does a truncated file show
        missing = missing_share(image, reopen) if reopen is not None else 0.0
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(f'{name}: truncated or damaged ({one_line(error)}); copy or download it again') from error
    if missing:
        raise ImageError(f'{name}: claims {image.width}x{image.height} pixels, but its file holds only '
                         f'{max(0, 1 - missing):.1%} of them; copy or download it again')
    try:
        if is_deep:
            # Pillow has kept the upper of two bytes, so that a black picture looks like one of 8 bits.
            _note_unused_range(256 * int(np.asarray(image.convert('RGB')).max()) + 255, name, doubts)
        return _to_rgb(upright(image), name, doubts)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f'{name}: cannot be converted from {image.mode} to RGB; save it as an RGB PNG') from error


def is_of_deep_colors(image: Image.Image) -> bool:
    """Whether a file that Pillow has opened, and not loaded, has 16 bits of each colour, of which Pillow takes 8."""
    return any(_SIXTEEN_BIT_COLORS.search(str(tile)) for tile in getattr(image, 'tile', ()))


def orientation(image: Image.Image) -> int:
    """From 1, upright, to 8: how the pixels of a file are turned, by its EXIF data. Decoders turn TIFF themselves."""
    try:
        found = 1 if image.format == 'TIFF' else image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing of the orientation; the pixels are whole
        return 1
    return found if found in _TURNS else 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, C) as they are stored, upright: (H', W') or (H', W', C), contiguous."""
    return np.ascontiguousarray(_TURNS[orientation](pixels))


def upright(image: Image.Image) -> Image.Image:
    """A picture that Pillow has loaded, turned as its EXIF data say."""
    try:
        is_turned = image.getexif().get(_ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if is_turned else image
    except Exception:  # damaged EXIF says nothing of the orientation; the pixels are whole
        return image


def _to_rgb(image: Image.Image, name: str, doubts: list[str]) -> np.ndarray:
    """A loaded PIL image of any mode to (H, W, 3) uint8."""
    if image.mode == 'F':
        return _from_array(np.asarray(image), name, doubts)
    profile = image.info.get('icc_profile')
    if image.mode in SIXTEEN_BIT_MODES:
        image = Image.fromarray(_sixteen_to_eight_bits(grey_values(image), name, doubts))
    is_grey = image.mode in ('1', 'L', 'LA', 'La')
    if image.has_transparency_data:
        image = Image.fromarray(on_white(np.asarray(image.convert('RGBA'))))
    if is_grey or image.mode not in ('RGB', 'CMYK'):
        image = image.convert('L' if is_grey else 'RGB')
    if profile:
        try:
            image = to_srgb(image, profile)
        except ProfileError as error:
            doubts.append(f'{name}: {error}, so colours may be off; convert the picture to sRGB')
    return np.array(image if image.mode == 'RGB' else image.convert('RGB'))


def grey_values(image: Image.Image) -> np.ndarray:
    """Integers of a sixteen-bit picture, black as 0; TIFF says of how many bits they are and where black is."""
    values = np.asarray(image)
    if image.format != 'TIFF' or image.mode == 'I':
        return values
    tags = image.tag_v2
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    if tags.get(_PHOTOMETRIC) == 0:
        values = (2**bits - 1) - values.astype(np.int64)
    return values if bits == 16 else (values.astype(np.int64) * 65535 + 2**(bits - 1)) // (2**bits - 1)


def _sixteen_to_eight_bits(values: np.ndarray, name: str, doubts: list[str]) -> np.ndarray:
    """65535 -> 255 and back to the nearest: 257 sixteen-bit steps to one eight-bit step."""
    values = values.astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f'{name}: holds integers beyond 16 bits ({values.min()} to {values.max()}); '
                         'scale them to 0..65535')
    colors = values[..., :3] if values.ndim == 3 else values  # not the alpha
    _note_unused_range(int(colors.max()), name, doubts)
    return ((values + 128) // 257).astype(np.uint8)


def _note_unused_range(largest: int, name: str, doubts: list[str]) -> None:
    """A dark picture and one that leaves the upper bits empty look the same here, so nothing is scaled unasked."""
    factors = [f'by {factor} if they have {bits} bits' for bits, factor in _SPREAD.items() if largest < 2**bits]
    if largest and factors:
        doubts.append(f'{name}: 16-bit values of at most {largest} come out nearly black; scale them to 16 bits first: '
                      f'multiply {", ".join(factors)}')


def _from_array(array: np.ndarray, name: str, doubts: list[str]) -> np.ndarray:
    _check_shape(array.shape, name)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == 'u' and array.dtype.itemsize == 2:  # either byte order
        array = _sixteen_to_eight_bits(array, name, doubts)
    elif np.issubdtype(array.dtype, np.floating):
        array = _float_to_eight_bits(array, name)
    elif array.dtype != np.uint8:
        raise ImageError(f'{name}: is of type {array.dtype}; convert it to uint8, uint16 or float in [0, 1]')
    if array.ndim == 2 or array.shape[2] == 1:
        return grey_to_rgb(array.reshape(array.shape[:2]))
    return on_white(array) if array.shape[2] == 4 else np.array(array, order='C')


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)):
        if 0 not in shape:
            return
        raise ImageError(f'{name}: has no pixels (shape {shape}); give another picture')
    hint = 'give (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)'
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        hint = 'put the channels last: array.transpose(1, 2, 0)'
    elif len(shape) == 4:
        hint = 'give the pictures of a batch as a list: list(array)'
    raise ImageError(f'{name}: has shape {shape}; {hint}')


def _float_to_eight_bits(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ImageError(f'{name}: holds NaN or infinity; replace them, e.g. with np.nan_to_num')
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise ImageError(f'{name}: holds floats from {low:.4g} to {high:.4g}; scale them to [0, 1]')
    return np.rint(values.astype(np.float64) * 255).astype(np.uint8)

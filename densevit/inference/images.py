"""Any picture a user may hand in becomes one thing: RGB, uint8, (H, W, 3)."""
from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image, ImageFile, ImageOps

from densevit.errors import one_line

from .notices import DoubtfulResultWarning

ImageSource = str | os.PathLike | Image.Image | np.ndarray

# Single-channel modes of Pillow that hold 16 bits; 'I' (32 bits) is how older versions open a 16-bit PNG.
_SIXTEEN_BIT_MODES = ('I;16', 'I;16L', 'I;16B', 'I;16N', 'I')

# What Pillow's decoders call files of 16 bits per colour, which it opens as 8 bits.
_SIXTEEN_BIT_COLORS = re.compile(r'(RGB\w?|LA);16[BLN]')

# Cameras and microscopes write 8, 10 or 12 bits into files of 16: bits to the factor that spreads them over the range.
_SPREAD = {8: 257, 10: 64, 12: 16}


class ImageError(ValueError):
    """A picture that cannot be used; the message is one line and says what to do about it."""


def read_image(source: ImageSource) -> np.ndarray:
    """Read a picture as a person sees it: turned as EXIF says, transparent parts on white, the first frame only.

    Sixteen-bit values are scaled to eight (65535 -> 255), not clipped; if the largest is below 4096, a
    ``DoubtfulResultWarning`` tells that the picture is nearly black. CMYK is converted without a colour profile.

    Args:
        source: a path, a ``file://`` URL, a PIL image, or an array (H, W) or (H, W, 1 | 3 | 4) in RGB(A) order of
            type bool, uint8, uint16, or float with values in [0, 1].

    Returns:
        (H, W, 3) uint8, RGB, a copy.

    Raises:
        ImageError: the file is missing, a folder, empty, truncated or no picture; the array has another shape, type
            or range, or holds NaN.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, 'the PIL image')
    if isinstance(source, (str, os.PathLike)):
        return _from_path(local_path(source))
    raise ImageError(f'cannot read a picture from {type(source).__name__}: give a path, a PIL image or a NumPy array '
                     '(for a tensor: tensor.permute(1, 2, 0).cpu().numpy())')


def local_path(source: str | os.PathLike) -> Path:
    """The path behind a path or a ``file://`` URL, with ``~`` expanded.

    Raises:
        ImageError: a URL of another scheme or of another host.
    """
    text = os.fspath(source)
    if '://' not in text:
        return Path(text).expanduser()
    url = urlsplit(text)
    if url.scheme != 'file' or url.netloc not in ('', 'localhost'):
        raise ImageError(f'{text}: only local files are read; download the picture and give its path')
    path = unquote(url.path)
    # file:///C:/a.png has the path /C:/a.png
    return Path(path[1:] if os.name == 'nt' and path[2:3] == ':' else path)


def _from_path(path: Path) -> np.ndarray:
    _check_file(path)
    try:
        with _strict_pillow():  # not beyond: warnings of ours are to be heard
            image = Image.open(path)
        with image:
            return _from_pil(image, str(path))
    except (ImageError, DoubtfulResultWarning):  # a warning that the user has made an error
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f'{path}: {one_line(error)}; shrink the picture or cut it into tiles first') from error
    except PermissionError as error:
        raise ImageError(f'{path}: not readable; change its permissions') from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageError(f'{path}: not a picture that Pillow can read; save it as PNG or JPEG') from error


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise ImageError(f'{path}: no such file; check the path')
        if path.is_dir():
            raise ImageError(f'{path}: is a folder; give the pictures in it')
        if not path.is_file():
            raise ImageError(f'{path}: is not a regular file; give a picture')
        if path.stat().st_size == 0:
            raise ImageError(f'{path}: the file is empty (0 bytes); copy or download it again')
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f'{str(path)[:200]!r}: {one_line(error)}; check the path') from error


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Refuse half-read pictures even if another library told Pillow to accept them."""
    accepted = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            # What matters becomes an error: a truncated file here, a bomb above twice the 89 megapixels of the warning.
            warnings.simplefilter('ignore')
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = accepted


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    if 0 in image.size:
        raise ImageError(f'{name}: has no pixels ({image.width}x{image.height}); give another picture')
    is_deep = any(_SIXTEEN_BIT_COLORS.search(str(tile)) for tile in getattr(image, 'tile', ()))
    try:
        with _strict_pillow():
            image.load()  # Pillow decodes lazily: only now does a truncated file show
    except Exception as error:
        raise ImageError(f'{name}: truncated or damaged ({one_line(error)}); copy or download it again') from error
    try:
        if is_deep:
            # Pillow has kept the upper of two bytes, so that a black picture looks like one of 8 bits.
            _warn_of_unused_range(256 * int(np.asarray(image.convert('RGB')).max()) + 255, name)
        return _to_rgb(_upright(image), name)
    except (ImageError, DoubtfulResultWarning):
        raise
    except Exception as error:
        raise ImageError(f'{name}: cannot be converted from {image.mode} to RGB; save it as an RGB PNG') from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        with _strict_pillow():
            return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing of the orientation; the pixels are whole
        return image


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """A loaded PIL image of any mode to (H, W, 3) uint8."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return _grey_to_rgb(_sixteen_to_eight_bits(np.asarray(image), name))
    if image.mode == 'F':
        return _from_array(np.asarray(image), name)
    if image.has_transparency_data:
        return _composite_on_white(np.asarray(image.convert('RGBA')))
    return np.array(image.convert('RGB'))


def _sixteen_to_eight_bits(values: np.ndarray, name: str) -> np.ndarray:
    """65535 -> 255 and back to the nearest: 257 sixteen-bit steps to one eight-bit step."""
    values = values.astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f'{name}: holds integers beyond 16 bits ({values.min()} to {values.max()}); '
                         'scale them to 0..65535')
    colors = values[..., :3] if values.ndim == 3 else values  # not the alpha
    _warn_of_unused_range(int(colors.max()), name)
    return ((values + 128) // 257).astype(np.uint8)


def _warn_of_unused_range(largest: int, name: str) -> None:
    """A dark picture and one that leaves the upper bits empty look the same here, so nothing is scaled unasked."""
    factors = [f'by {factor} if they have {bits} bits' for bits, factor in _SPREAD.items() if largest < 2**bits]
    if largest and factors:
        warnings.warn(f'{name}: 16-bit values of at most {largest} come out nearly black; scale them to 16 bits first: '
                      f'multiply {", ".join(factors)}', DoubtfulResultWarning, stacklevel=2)


def _from_array(array: np.ndarray, name: str = 'the array') -> np.ndarray:
    _check_shape(array.shape, name)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == 'u' and array.dtype.itemsize == 2:  # either byte order
        array = _sixteen_to_eight_bits(array, name)
    elif np.issubdtype(array.dtype, np.floating):
        array = _float_to_eight_bits(array, name)
    elif array.dtype != np.uint8:
        raise ImageError(f'{name}: is of type {array.dtype}; convert it to uint8, uint16 or float in [0, 1]')
    if array.ndim == 2 or array.shape[2] == 1:
        return _grey_to_rgb(array.reshape(array.shape[:2]))
    return _composite_on_white(array) if array.shape[2] == 4 else np.array(array, order='C')


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


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _composite_on_white(rgba: np.ndarray) -> np.ndarray:
    """Colours under full transparency are arbitrary, so dropping alpha would show what nobody was meant to see."""
    rgb, alpha = rgba[:, :, :3].astype(np.uint32), rgba[:, :, 3:].astype(np.uint32)
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

"""Colour profiles to sRGB, transparency onto white, colours to grey."""
from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

# How profiles name what a mode of Pillow holds.
_COLOR_SPACES = dict(L='GRAY', RGB='RGB', CMYK='CMYK')

# Of 255. Profiles called sRGB differ by rounding; below this a conversion changes nothing that a network sees.
_NEGLIGIBLE = 2


class ProfileError(ValueError):
    """A colour profile that cannot be used for its picture."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert from a file's ICC profile, relative to the white point, with black-point compensation.

    Args:
        image: An image of mode L, RGB or CMYK.
        profile: The content of the ICC profile.

    Returns:
        Mode RGB; the image itself where the profile is sRGB to a rounding error.

    Raises:
        ProfileError: The profile is damaged or of another colour space than the image.
    """
    transform = _transform(profile, image.mode)
    return image if transform is None else ImageCms.applyTransform(image, transform)


def changes_colors(profile: bytes, mode: str) -> bool:
    """Whether a profile is other than sRGB for pictures of mode L, RGB or CMYK, by more than a rounding error.

    Raises:
        ProfileError: The profile is damaged or of another colour space than the mode.
    """
    return _transform(profile, mode) is not None


@lru_cache(maxsize=16)  # the pictures of a folder have one or two
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where it changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != _COLOR_SPACES[mode]:
            raise ProfileError(f'its colour profile is for {source.profile.xcolor_space.strip()}')
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile('sRGB'), mode, 'RGB',
            ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError) as error:
        raise error if isinstance(error, ProfileError) else ProfileError('its colour profile is damaged') from error
    if mode == 'CMYK':
        return transform
    probe = _probe(mode)
    change = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
    change -= np.asarray(probe.convert('RGB'))
    return transform if abs(change).max() > _NEGLIGIBLE else None


def _probe(mode: str) -> Image.Image:
    """Colours from all over the cube, or all greys."""
    if mode == 'L':
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3))


def on_white(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) to (H, W, 3). Colours under full transparency are arbitrary, so dropping alpha would show what nobody
    was meant to see."""
    rgb, alpha = rgba[:, :, :3].astype(np.uint16), rgba[:, :, 3:].astype(np.uint16)
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def to_grey(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 to (H, W): luma of ITU-R BT.601, as OpenCV and Pillow have it; greys stay what they are."""
    return np.array(Image.fromarray(rgb).convert('L'))


def grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    """(H, W) to (H, W, 3)."""
    return np.repeat(grey[:, :, None], 3, axis=2)

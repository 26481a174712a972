"""Results on disk: written whole or not at all, and never over somebody else's file."""
from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from densevit.errors import one_line, printable
from densevit.files import write_atomic
from densevit.visualization.overlay import draw_comparison, draw_overlay

from .result import SegmentationResult

_GENERATOR = 'densevit'
_SOFTWARE_TAG = 0x0131  # EXIF and TIFF: the program that wrote the picture
# Formats that take RGB of any size that matters and carry the tag above, by which a file of ours is known again.
_FORMATS = {
    '.png': 'PNG', '.jpg': 'JPEG', '.jpeg': 'JPEG', '.jpe': 'JPEG', '.jfif': 'JPEG', '.webp': 'WEBP', '.tif': 'TIFF',
    '.tiff': 'TIFF'
}
_MASK_NAME = re.compile(r'(labels|\d{3,}_[^/]*)\.png')
# Most file systems take names of 255 bytes, and a folder of masks is called after its picture.
_MAX_NAME_BYTES = 255 - len('.masks')
# After these no other result can be written either.
_DISK_ERRORS = {errno.ENOSPC, errno.EROFS, getattr(errno, 'EDQUOT', errno.ENOSPC)}


class OutputError(OSError):
    """Results cannot be written; the message is one line and says what to do about it.

    Attributes:
        is_disk_full: whether the disk is full or read-only, so that other results cannot be written either.
    """

    is_disk_full = False


def save_result(
    result: SegmentationResult,
    path: str | os.PathLike,
    *,
    opacity: float = 0.5,
    legend: bool = True,
    side_by_side: bool = True,
    masks: bool = False,
    json: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write the overlay and, if asked for, masks and JSON beside it.

    Args:
        path: the overlay's file, or an existing folder, where it takes the source's name. A suffix that cannot be
            written (``.gif``, none) gets ``.png`` added; of a name of more than 249 bytes the end becomes a hash.
        opacity: of the tint, in [0, 1].
        legend: add the classes present with their shares and numbers of instances.
        side_by_side: put the untouched picture beside the overlay.
        masks: write ``<name>.masks/``: one black-and-white PNG per segment, ``000_<class name>.png``, whose number is
            the segment's place in the JSON, not its class; and for semantic and panoptic results ``labels.png``, whose
            values are label ids (8 bits with 255 for none, or 16 bits with 65535 when there are more than 255 classes).
        json: write ``<name>.json``: classes, scores, boxes ``[x0, y0, x1, y1]`` and areas; see
            `SegmentationResult.to_dict`. ``<name>`` is the picture's with its suffix: ``a.jpg.json``.
        overwrite: also replace files that were not written by this function. The source is never replaced.

    Returns:
        The files written, the overlay first.

    Raises:
        OutputError: a file exists and is not ours, is the source, or cannot be written.
    """
    picture_path = output_file(path, result.source)
    json_path = json_file(picture_path)
    masks_folder = masks_folder_of(picture_path)
    for target in (picture_path, json_path) if json else (picture_path,):
        refuse_foreign_file(target, result.source, overwrite)
    picture = (draw_comparison if side_by_side else draw_overlay)(result.image, result, opacity, legend)
    try:
        picture_path.parent.mkdir(parents=True, exist_ok=True)
        written = [_write_picture(picture_path, Image.fromarray(picture))]
        if json:
            write_atomic(result.to_json().encode() + b'\n', json_path)
            written.append(json_path)
        if masks:
            written += _write_masks(masks_folder, result)
    except OutputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: Pillow, for more pixels in a row than the format has
        output_error = OutputError(f'{printable(picture_path)}: cannot be written ({one_line(error)}); choose another '
                                   'folder or format')
        output_error.is_disk_full = isinstance(error, OSError) and error.errno in _DISK_ERRORS
        raise output_error from error
    return written


def output_file(path: str | os.PathLike, source: Path | None) -> Path:
    """The picture file that results for ``path`` go to; see `save_result`."""
    path = Path(path)
    if os.path.isdir(path):  # False for a name that is too long
        path = path / (source.name if source is not None else 'image.png')
    name = path.name if path.suffix.lower() in _FORMATS else path.name + '.png'
    return path.with_name(_shortened(name))


def _shortened(name: str) -> str:
    """The name, or its beginning and a hash of the whole, so that long names which differ stay different."""
    if len(os.fsencode(name)) <= _MAX_NAME_BYTES:
        return name
    stem, suffix = os.path.splitext(name)
    end = f'~{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}{suffix}'
    return os.fsencode(stem)[:_MAX_NAME_BYTES - len(end)].decode('utf-8', 'ignore') + end


def json_file(picture: Path) -> Path:
    """Named with the picture's suffix, so that ``a.jpg`` and ``a.png`` have one each."""
    return picture.with_name(picture.name + '.json')


def masks_folder_of(picture: Path) -> Path:
    """Named as `json_file` is."""
    return picture.with_name(picture.name + '.masks')


def check_output_folder(folder: Path, needed_bytes: int = 0) -> None:
    """Create the folder and try it out, so that no model runs for results that cannot be kept.

    Raises:
        OutputError: it is a file, cannot be made, cannot be written to, or its disk has too little room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f'{printable(folder)}: cannot hold results ({reason}); choose another folder') from error
    if free < needed_bytes:
        raise OutputError(f'{printable(folder)}: {free / 1e6:.0f} MB free, about {needed_bytes / 1e6:.0f} MB needed; '
                          'free some room or choose another folder')


def refuse_foreign_file(target: Path, source: Path | None, overwrite: bool = False) -> None:
    """Make sure that writing the target destroys nothing but an earlier result.

    Raises:
        OutputError: the target is the source, or exists and is not ours, unless ``overwrite``.
    """
    if not os.path.exists(target):
        return
    if source is not None and os.path.exists(source) and target.samefile(source):
        raise OutputError(f'{printable(target)}: is the picture itself; choose another folder or name')
    if target.is_dir() or not (overwrite or is_own_file(target)):
        raise OutputError(f'{printable(target)}: exists and is not an earlier result; move it or choose another '
                          'folder')


def is_own_file(path: Path) -> bool:
    """Whether this module wrote the file: a picture by its software tag, a JSON by its generator."""
    try:
        if path.suffix == '.json':
            content = json.loads(path.read_text(encoding='utf-8'))
            return isinstance(content, dict) and content.get('generator') == _GENERATOR
        with Image.open(path) as image:
            return image.getexif().get(_SOFTWARE_TAG) == _GENERATOR
    except Exception:  # whatever it is, it is not ours
        return False


def _write_picture(path: Path, image: Image.Image) -> Path:
    image_format = _FORMATS[path.suffix.lower()]
    exif = Image.Exif()
    exif[_SOFTWARE_TAG] = _GENERATOR
    options = dict(JPEG=dict(quality=92, subsampling=0), WEBP=dict(quality=92), TIFF=dict(compression='tiff_deflate'))
    buffer = io.BytesIO()
    # Encoded in memory first: the bytes are then written in one go, and a full disk leaves no half picture.
    image.save(buffer, image_format, exif=exif, **options.get(image_format, {}))
    write_atomic(buffer.getvalue(), path)
    return path


def _write_masks(folder: Path, result: SegmentationResult) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for stale in folder.iterdir():  # of an earlier run that found other segments
        if _MASK_NAME.fullmatch(stale.name) and is_own_file(stale):
            stale.unlink()
    written = []
    if result.semantic is not None:
        written.append(_write_own_picture(folder / 'labels.png', _label_image(result)))
    for index, label in enumerate(result.labels):
        name = re.sub(r'[^\w.-]+', '_', result.classes[label])[:60]
        mask = Image.fromarray(result.mask(index).astype(np.uint8) * 255)
        written.append(_write_own_picture(folder / f'{index:03d}_{name}.png', mask))
    return written


def _write_own_picture(path: Path, image: Image.Image) -> Path:
    refuse_foreign_file(path, None)
    return _write_picture(path, image)


def _label_image(result: SegmentationResult) -> Image.Image:
    """Label ids as pixel values: with the palette where 8 bits suffice, else 16 bits."""
    if len(result.classes) > 255:
        return Image.fromarray(np.where(result.semantic < 0, 65535, result.semantic).astype(np.uint16))
    image = Image.fromarray(np.where(result.semantic < 0, 255, result.semantic).astype(np.uint8))
    # All 256 colours: with fewer, Pillow packs the pixels into fewer bits, and 255 would become another label.
    palette = np.zeros((256, 3), np.uint8)
    palette[:len(result.palette)] = result.palette
    image.putpalette(palette.tobytes())
    return image

"""Results on disk: written whole or not at all, and never over somebody else's file."""
from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from ..errors import one_line, printable
from ..files import write_atomic

_GENERATOR = 'densevit'
_SOFTWARE_TAG = 0x0131  # EXIF and TIFF: the program that wrote the picture
_SOURCE_TAG = 0x010d  # the document that it is made of: digests of the path and of the content of a picture
# Formats that take RGB of any size that matters and carry the tag above, by which a file of ours is known again.
_FORMATS = {
    '.png': 'PNG', '.jpg': 'JPEG', '.jpeg': 'JPEG', '.jpe': 'JPEG', '.jfif': 'JPEG', '.webp': 'WEBP', '.tif': 'TIFF',
    '.tiff': 'TIFF'
}
# Most file systems take names of 255 bytes, and other files are called after the picture: 'a.jpg.json'.
_MAX_NAME_BYTES = 255 - 16
# After these no other result can be written either.
_DISK_ERRORS = {errno.ENOSPC, errno.EROFS, getattr(errno, 'EDQUOT', errno.ENOSPC)}


class OutputError(OSError):
    """Results cannot be written; the message is one line and says what to do about it.

    Attributes:
        is_disk_full: Whether the disk is full or read-only, so that other results cannot be written either.
    """

    is_disk_full = False


class Artifact(NamedTuple):
    """A file of a result.

    Attributes:
        name: What its path adds to the picture's: ``''`` for the picture itself, ``'.json'`` for ``a.jpg.json``,
            ``'.masks/000_car.png'`` for a file in the folder ``a.jpg.masks``.
        make: Gives the content: an array or a PIL image for a picture of a mode that the format takes, (H, W, 3 | 4)
            uint16 for PNG, a dictionary for JSON, or the bytes of a file in another format. Such a file has no mark of
            ours: it is known by the picture that it belongs to.
    """

    name: str
    make: Callable[[], np.ndarray | Image.Image | dict[str, Any] | bytes]


def save_artifacts(
    artifacts: Sequence[Artifact],
    path: str | os.PathLike,
    source: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write files of one result, each whole or not at all; nothing if one of them would replace somebody else's.

    Of a folder that belongs to the result, files of ours that are not written again are removed.

    Args:
        path: The picture's file or an existing folder; see `output_file`. A file that is named is replaced if it is
            ours, whatever picture it is of; one whose name follows from the source, only if it is of that source.
        source: The file that the result is of.
        overwrite: Replace files that are not ours. The source is never replaced.

    Returns:
        The files written, in order.

    Raises:
        OutputError: A file exists and is not ours or of another picture, is the source, or cannot be written.
        Exception: What making a file raises, such as a ValueError for an opacity above 1.
    """
    picture = output_file(path, source)
    targets = {picture.parent / (picture.name + artifact.name): artifact for artifact in artifacts}
    refuse_foreign_files(picture, [artifact.name for artifact in artifacts], source, overwrite,
                         of_any_source=not os.path.isdir(path))
    mark = _source_mark(source)
    with _as_output_errors(picture):
        for folder in dict.fromkeys(target.parent for target in targets):
            folder.mkdir(parents=True, exist_ok=True)
            if folder != picture.parent:  # an earlier run may have found other things
                for stale in set(folder.iterdir()) - targets.keys():
                    if is_own_file(stale):
                        stale.unlink()
    for target, artifact in targets.items():
        content = artifact.make()  # whose errors are not the disk's
        with _as_output_errors(picture):
            write_atomic(_encoded(content, target, mark), target)
        del content  # while the next one is made
    return list(targets)


@contextmanager
def _as_output_errors(picture: Path) -> Iterator[None]:
    """Say of what the disk or an encoder refuses what to do about it."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: Pillow, for more pixels in a row than the format has
        output_error = OutputError(f'{printable(picture)}: cannot be written ({one_line(error)}); choose another '
                                   'folder or format')
        output_error.is_disk_full = isinstance(error, OSError) and error.errno in _DISK_ERRORS
        raise output_error from error


def output_file(path: str | os.PathLike, source: Path | None) -> Path:
    """The picture that a result for ``path`` goes to.

    In an existing folder it has the source's name. A suffix that cannot be written (``.gif``, none) gets ``.png``
    added; of a name of more than 239 bytes the end becomes a hash.
    """
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


def json_text(content: dict[str, Any], indent: int | None = 2) -> str:
    """A dictionary as JSON that is valid UTF-8."""
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    # Surrogates stand for bytes of a file name that are not UTF-8; json and os.fsencode() give the bytes back.
    return re.sub('[\ud800-\udfff]', lambda match: f'\\u{ord(match[0]):04x}', text)


def check_output_folder(folder: Path, needed_bytes: int = 0) -> None:
    """Create the folder and try it out, so that no model runs for results that cannot be kept.

    Raises:
        OutputError: It is a file, cannot be made, cannot be written to, or its disk has too little room.
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


def refuse_foreign_files(
    picture: Path,
    names: Iterable[str],
    source: Path | None,
    overwrite: bool = False,
    of_any_source: bool = False,
) -> None:
    """Make sure that writing files of one result destroys nothing but an earlier result of the same picture.

    Args:
        picture: The picture's file.
        names: What the files add to its name, as in `Artifact`; a folder ends in ``/``.
        source: The file that the result is of.
        overwrite: Files that are not ours may be replaced.
        of_any_source: Results of other pictures may be replaced.

    Raises:
        OutputError: A file is the source; or it exists and is not ours, or is the result of another picture.
    """
    has_own_picture = is_own_file(picture)
    for name in names:
        target = picture.parent / (picture.name + name)
        if not os.path.exists(target) or (name.endswith('/') and target.is_dir()):
            continue
        if source is not None and os.path.exists(source) and target.samefile(source):
            raise OutputError(f'{printable(target)}: is the picture itself; choose another folder or name')
        has_mark = target.suffix.lower() in (*_FORMATS, '.json')
        is_ours = is_own_file(target) if has_mark else has_own_picture
        if target.is_dir() or not (overwrite or is_ours):
            raise OutputError(f'{printable(target)}: exists and is not an earlier result; move it or choose another '
                              'folder')
        if not (overwrite or of_any_source) and _is_of_another(target, source):
            raise OutputError(f'{printable(target)}: is the result of another picture; move it or choose another '
                              'folder (--out)')


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


def _is_of_another(path: Path, source: Path | None) -> bool:
    """Whether a picture of ours says that it is made of another file than the source, at another place."""
    try:
        with Image.open(path) as image:
            marks = str(image.getexif().get(_SOURCE_TAG, '')).split()
    except Exception:  # JSON and what else has no such mark
        return False
    return bool(marks) and not set(marks) & set(_source_mark(source).split())


def _source_mark(source: Path | None) -> str:
    """Digests of where a picture lies and of what it holds: it may be moved, or changed, and is the same.

    Not the path itself, since pictures are passed on and paths tell names.
    """
    if source is None:
        return ''
    digests = [hashlib.sha256(os.fsencode(os.path.realpath(source)))]
    with suppress(OSError):
        digests.append(hashlib.sha256(Path(source).read_bytes()))
    return ' '.join(digest.hexdigest()[:16] for digest in digests)


def _encoded(content: np.ndarray | Image.Image | dict[str, Any] | bytes, path: Path, source_mark: str = '') -> bytes:
    """A file's bytes, with the marks by which it is known again.

    They are made in memory: written in one go, they leave no half picture on a full disk.
    """
    if isinstance(content, bytes):
        return content
    if isinstance(content, dict):
        return json_text({'generator': _GENERATOR, **content}).encode() + b'\n'
    exif = Image.Exif()
    exif[_SOFTWARE_TAG] = _GENERATOR
    if source_mark:
        exif[_SOURCE_TAG] = source_mark
    if isinstance(content, np.ndarray) and content.dtype == np.uint16 and content.ndim == 3:
        return _deep_png(content, exif)
    image = content if isinstance(content, Image.Image) else Image.fromarray(content)
    image_format = _FORMATS[path.suffix.lower()]
    options = dict(JPEG=dict(quality=92, subsampling=0), WEBP=dict(quality=92), TIFF=dict(compression='tiff_deflate'))
    buffer = BytesIO()
    image.save(buffer, image_format, exif=exif, **options.get(image_format, {}))
    return buffer.getvalue()


def _deep_png(image: np.ndarray, exif: Image.Exif) -> bytes:
    """(H, W, 3 | 4) uint16 in RGB(A) order as PNG, which Pillow does not write, with the mark in its EXIF data."""
    order = [2, 1, 0, 3][:image.shape[2]]
    is_written, data = cv2.imencode('.png', image[..., order])
    if not is_written:
        raise ValueError('OpenCV cannot write it as PNG of 16 bits')
    data, content = data.tobytes(), exif.tobytes().removeprefix(b'Exif\x00\x00')
    chunk = b'eXIf' + content
    header = 8 + 25  # the signature and IHDR, behind which other chunks may stand
    return (data[:header] + struct.pack('>I', len(content)) + chunk + struct.pack('>I', zlib.crc32(chunk))
            + data[header:])

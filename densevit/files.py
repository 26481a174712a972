"""Files that are whole or absent, and what tells that one is not."""
from __future__ import annotations

import os
import re
import tempfile
import zipfile
import zlib
from pathlib import Path

_LEFTOVER = re.compile(r'\.(?P<name>.+)\.[a-z0-9_]{8}')  # the names of write_atomic's temporary files


def write_atomic(content: bytes, path: Path) -> None:
    """Write beside the target and rename: a reader sees the old file or the new one, never a part.

    Raises:
        OSError: The disk is full or the folder cannot be written to; the target is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = os.fsencode(path.name)[:100].decode('utf-8', 'ignore')  # of bytes, as limits of names are
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{start}.')
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are for the owner only
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f'{error.strerror}; {path} was not written: free some space or choose another '
                          'folder') from error
        raise


def remove_leftovers(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """Remove the temporary files that a killed :func:`write_atomic` left, and return their paths.

    Args:
        folder: A folder in which nobody writes such files at the moment.
        name: A pattern of the names of the files that were to be written; leftovers of others stay.
    """
    removed = [path for path in folder.iterdir()
               if (match := _LEFTOVER.fullmatch(path.name)) and name.fullmatch(match['name']) and path.is_file()]
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


def damaged_part(path: Path) -> str | None:
    """Find the first entry of a zip archive whose bytes are not those that were written; None if all are.

    PyTorch's checkpoints are such archives, and ``torch.load`` does not compare their checksums. An archive without
    checksums (``torch.serialization.set_crc32_options(False)``) is taken for whole.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() if any(entry.CRC for entry in archive.infolist()) else None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return 'the table of contents'


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

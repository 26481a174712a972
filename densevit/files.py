"""Files that are whole or absent."""
from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomic(content: bytes, path: Path) -> None:
    """Write beside the target and rename: a reader sees the old file or the new one, never a part.

    Raises:
        OSError: The disk is full or the folder cannot be written; the target is as it was.
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

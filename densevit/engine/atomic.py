"""Files that are whole or absent."""
from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mmengine.fileio import register_backend
from mmengine.fileio.backends import LocalBackend


class AtomicLocalBackend(LocalBackend):
    """Writes beside the target and renames, so that a run killed while it saves leaves the last checkpoint whole.

    For ``CheckpointHook(backend_args=dict(backend='densevit_atomic'))``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Raises:
            OSError: The disk is full or the folder cannot be written; the target is as it was.
        """
        write_atomic(obj, Path(filepath))


def write_atomic(content: bytes, path: Path) -> None:
    """Write a file in one step: readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise OSError(error.errno, f'{error.strerror}; {path} was not written. Free some space or choose another '
                      'folder') from error


register_backend('densevit_atomic', AtomicLocalBackend)

"""Checkpoints that are whole or absent."""
from __future__ import annotations

from pathlib import Path

from mmengine.fileio import register_backend
from mmengine.fileio.backends import LocalBackend

from ..files import write_atomic


class AtomicLocalBackend(LocalBackend):
    """Writes beside the target and renames, so that a run killed while it saves leaves the last checkpoint whole.

    mmengine finds it by the name ``densevit_atomic``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Raises:
            OSError: The disk is full or the folder cannot be written; the target is as it was.
        """
        write_atomic(obj, Path(filepath))


register_backend('densevit_atomic', AtomicLocalBackend)

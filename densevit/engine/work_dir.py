"""The folder of a run: it can be written to, nobody else does, and what earlier runs left stays."""
from __future__ import annotations

import errno
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ..files import remove_leftovers
from .distributed import decide_once

_OURS = re.compile(r'last_checkpoint|(best_.+_)?(iter|epoch)_\d+\.pth')


class WorkDirError(OSError):
    """The work dir cannot be written to, or another run is in it."""


def choose_work_dir(cfg: Config, path: str, given: str | None, default: str = 'work_dirs') -> Path:
    """Set ``cfg.work_dir``: as given, as in the config, or ``work_dirs/<config name>``.

    Raises:
        WorkDirError: The folder cannot be made or written to.
    """
    cfg.work_dir = given or cfg.get('work_dir') or os.path.join(default, Path(path).stem)
    folder = Path(cfg.work_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 16))
    except OSError as error:
        raise WorkDirError(f'cannot write to the work dir {folder} ({error.strerror}): free some space, or choose '
                           'another with --work-dir') from error
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a work dir, and remove the files that killed ones left unfinished in it.

    The main process holds the lock for all of its run; it ends with that process, even by a kill.

    Raises:
        WorkDirError: Another run is in the folder.
    """
    held: list[IO[str] | None] = []

    def hold() -> None:  # a file cannot be handed to other processes, nor needs to be
        if os.environ.get('RANK', '0') == '0':  # DeepSpeed's processes do not know of each other yet
            held.append(_lock(folder))

    decide_once(hold)
    try:
        yield
    finally:
        for file in filter(None, held):
            file.truncate(0)
            file.close()


def _lock(folder: Path) -> IO[str] | None:
    """The locked file; None where there are no locks."""
    try:
        import fcntl  # of Unix
    except ImportError:
        return None
    file = (folder / '.lock').open('a+')
    try:
        # Of the process, where flock's is shared with its data loaders, which outlive a kill by some seconds.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with file:
            file.seek(0)
            holder = file.read(200).strip() or 'another process'
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            print(f'{folder} cannot be locked ({error.strerror}): see that no other run uses it', file=sys.stderr)
            return None
        raise WorkDirError(f'another run is in the work dir {folder} ({holder}): choose another with --work-dir, or '
                           'wait for its end') from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    remove_leftovers(folder, _OURS)
    return file


def set_aside(work_dir: Path) -> Path | None:
    """Move the checkpoints of an earlier run into a folder of their own, so that a new run overwrites none of them.

    Returns:
        That folder; None if there was nothing to move.
    """
    old = [path for path in (*work_dir.glob('*.pth'), work_dir / 'last_checkpoint') if path.exists()]
    if not old:
        return None
    count = 1
    while (work_dir / f'earlier_{count}').exists():
        count += 1
    folder = work_dir / f'earlier_{count}'
    folder.mkdir()
    for path in old:
        os.rename(path, folder / path.name)
    return folder


class SetAsideHook(Hook):
    """Moves the checkpoints of an earlier run aside when the first iteration of a new one has succeeded.

    A run that fails before, in its data, its weights or for want of memory, changes nothing.
    """
    priority = 'HIGH'  # before the first checkpoint is written

    def __init__(self) -> None:
        self.done = False

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.done:
            return
        self.done = True
        folder = decide_once(partial(set_aside, Path(runner.work_dir)))
        if folder is not None and is_main_process():
            runner.logger.info(f'the checkpoints of an earlier run are now in {folder} (--resume would have '
                               'continued it)')

"""Checkpoints that survive a kill at any moment, and finding the latest of them."""
from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook

from ..files import write_atomic
from ..pickles import load_torch
from ..registry import HOOKS

_STEP = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


class CheckpointError(ValueError):
    """A checkpoint cannot be resumed from."""


class DiskFullError(OSError):
    """There is no space for a checkpoint."""


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook, but a new checkpoint is whole on the disk before an old one is removed.

    Each file appears under its name in one step, ``last_checkpoint`` included, so that a run killed at any moment can
    be resumed, even with ``max_keep_ckpts=1``.
    """

    def __init__(self, *args: Any, backend_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=backend_args or dict(backend='densevit_atomic'), **kwargs)

    def before_train(self, runner: Any) -> None:
        """See that one checkpoint would fit on the disk: the weights, their average and AdamW's two moments.

        Raises:
            DiskFullError: It would not.
        """
        super().before_train(runner)
        needed = 4 * sum(parameter.numel() * parameter.element_size() for parameter in runner.model.parameters())
        free = shutil.disk_usage(runner.work_dir).free
        if free < needed:
            raise DiskFullError(f'{runner.work_dir} has {free / 1e9:.2f} GB left and a checkpoint takes about '
                                f'{needed / 1e9:.2f} GB: free some space or choose another --work-dir')

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        outdated = self._keep(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, name, self.file_client_args, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
            backend_args=self.backend_args, **self.args)
        if is_main_process():
            write_atomic(self.last_ckpt.encode(), Path(runner.work_dir, 'last_checkpoint'))
            for old in outdated:
                self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _keep(self, runner: Any, step: int) -> list[int]:
        """Note a step as kept; the steps that are no longer."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return []
        kept = [*self.keep_ckpt_ids, step]
        self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts:], self.max_keep_ckpts)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return kept[:-self.max_keep_ckpts]

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # of sharded strategies
            self.file_backend.rmtree(path)


def latest_checkpoint(work_dir: Path) -> Path | None:
    """The newest whole checkpoint of a folder: the one that ``last_checkpoint`` names, or that of most steps."""
    note = work_dir / 'last_checkpoint'
    named = [work_dir / Path(note.read_text().strip()).name] if note.is_file() else []
    found = {path: int(match[1]) for path in work_dir.glob('*.pth') if (match := _STEP.fullmatch(path.name))}
    for path in [*named, *sorted(found, key=found.get, reverse=True)]:
        if _is_whole(path):
            return path
    return None


def _is_whole(path: Path) -> bool:
    return zipfile.is_zipfile(path) or (path.suffix == '.pth' and path.is_dir())


def check_resumable(path: Path) -> None:
    """Read a checkpoint without running anything in it.

    Raises:
        CheckpointError: It is missing, damaged, unsafe, or holds weights alone; or it is a folder.
    """
    if path.is_dir():
        raise CheckpointError(f'{path} is a folder of shards, which are pickles that could run any code and are not '
                              "opened: resume from one file, as FSDP writes it with strategy.state_dict_cfg='full'")
    if not path.is_file():
        raise CheckpointError(f'{path} does not exist: give an existing checkpoint, or --resume alone for the latest '
                              'of the work dir')
    try:
        content = load_torch(path, mmap=True)
    except Exception as error:
        raise CheckpointError(f'{path} cannot be read ({" ".join(str(error).split())[:80]}): it is damaged or unsafe; '
                              'resume from another checkpoint of the work dir') from error
    parts = content if isinstance(content, dict) else {}
    absent = [key for key in ('state_dict', 'optimizer', 'meta', 'message_hub')
              if not isinstance(parts.get(key), dict)]
    if absent:
        raise CheckpointError(f"{path} has no '{absent[0]}', so a run cannot be continued from it: to begin a new run "
                              f'with its weights use --load-from {path}')


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

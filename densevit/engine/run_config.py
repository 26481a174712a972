"""From a config file and the command line to a runner."""
from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from ..datasets.checks import EmptyDatasetError, check_coco_files, check_folders
from ..datasets.locate import HELP, check_data_roots, data_folders, resolve_data_roots
from ..layers import synchronise_anywhere
from ..models.pretraining import without_pretraining
from ..registry import config_file
from .checkpoints import check_resumable, latest_checkpoint, set_aside
from .distributed import WHOLE_MODEL, strategy_of
from .initial_weights import InitialWeightsHook
from .options import check_config, check_options

_ALWAYS = ('densevit.DataCheckHook', 'densevit.NonFiniteLossHook', 'densevit.ProgressHook')
_MMENGINE_CHECKPOINTS = ('CheckpointHook', 'mmengine.CheckpointHook')


class ConfigError(ValueError):
    """A config does not exist or cannot be read."""


class WorkDirError(OSError):
    """Nothing can be written to the work dir."""


def load_config(path: str, options: dict[str, Any], checkout: Path | None = None) -> Config:
    """Read a config, change it by ``--cfg-options`` and point it to the data.

    Args:
        path: Of the file, or its name in a package, such as ``densevit::tiny/eomt_tiny_camvid.py``.
        options: Values by dotted keys.
        checkout: Where else to look for ``data``; see :func:`densevit.datasets.locate.data_folders`.

    Raises:
        ConfigError: There is no such config, or it is broken.
        OptionError: A key of the options or of the config itself is unknown.
    """
    try:
        file = config_file(path)
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from error
    if not file.is_file():
        near = get_close_matches(path, map(str, Path().glob('configs/**/*.py')), 1)
        raise ConfigError(f"the config {path} does not exist{f': did you mean {near[0]}?' if near else ''}")
    try:
        cfg = Config.fromfile(file)
    except Exception as error:
        raise ConfigError(f'{path} is not a valid config: {type(error).__name__}: {error}') from error
    check_options(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AssertionError) as error:
        raise ConfigError(f'--cfg-options do not fit {path}: {error}') from error
    check_config(cfg)
    resolve_data_roots(cfg, data_folders(checkout))
    return cfg


def check_data(cfg: Config, splits: Sequence[str], checkout: Path | None = None) -> None:
    """See that the data of some splits is where the config says; see ``check_data_roots`` and ``check_folders``."""
    check_data_roots(cfg, data_folders(checkout), splits)
    check_folders(cfg, splits)


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


def use_amp(cfg: Config, dtype: str | None) -> None:
    """Train in mixed precision.

    ``'fp16'`` scales the loss and needs a GPU; ``'bf16'`` works anywhere; ``'auto'`` is fp16 on a GPU and bf16 on a CPU
    or with FSDP. Without a dtype the config decides, except that fp16 becomes bf16 on a CPU.

    Raises:
        ConfigError: fp16 without a GPU, or with FSDP.
    """
    wrapper, cuda = cfg.get('optim_wrapper'), torch.cuda.is_available()
    sharded = 'FSDP' in strategy_of(cfg)
    if wrapper is None:
        return
    if dtype is None and (wrapper.get('type') != 'AmpOptimWrapper' or cuda):
        return
    if dtype == 'fp16' and not cuda:
        raise ConfigError('--amp fp16 needs a GPU, and there is none: use --amp bf16')
    if dtype == 'fp16' and sharded:  # a process skips a step by the gradients of its own shards
        raise ConfigError('--amp fp16 scales the loss, which with FSDP each process would do by itself: use --amp bf16')
    for key in ('dtype', 'loss_scale', 'use_fsdp'):
        wrapper.pop(key, None)
    if dtype == 'fp16' or (dtype == 'auto' and cuda and not sharded):
        wrapper.update(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    else:
        wrapper.update(type='densevit.AutocastOptimWrapper', dtype='bfloat16')


def set_load_from(cfg: Config, path: str | None, new_classes: bool) -> None:
    """Begin with the weights of a checkpoint; without a path the config decides.

    Raises:
        ConfigError: There is no such file, or nothing to leave the class head out of.
    """
    if path:
        cfg.update(load_from=path, resume=False)
        if not Path(path).expanduser().exists():
            raise ConfigError(f'the checkpoint {path} of --load-from does not exist: check the path')
    if new_classes and not cfg.get('load_from'):
        raise ConfigError('--new-classes says what to leave out of a checkpoint: give one with --load-from CHECKPOINT')


def set_resume(cfg: Config, resume: str | None) -> None:
    """Continue from a checkpoint, from the latest of the work dir (``'auto'``), or begin anew.

    A new run in a work dir with checkpoints of an earlier one moves those aside. With ``'auto'`` and no checkpoint yet,
    the run begins.

    Raises:
        CheckpointError: The checkpoint is not one that a run can be continued from.
    """
    work_dir = Path(cfg.work_dir)
    resume = resume or ('auto' if cfg.get('resume') and not cfg.get('load_from') else None)
    if resume is None and not cfg.get('resume'):
        _make_room(cfg, work_dir)
        return
    path = latest_checkpoint(work_dir) if resume == 'auto' else Path(resume or cfg.load_from)
    cfg.resume = path is not None
    if path is None:
        print(f'nothing to resume in {work_dir}: the run begins', file=sys.stderr)
        return
    check_resumable(path)
    cfg.load_from = str(path)
    cfg.model = without_pretraining(cfg.model)


def _make_room(cfg: Config, work_dir: Path) -> None:
    """Move earlier checkpoints aside; ``load_from`` may be one of them."""
    result = [set_aside(work_dir) if is_main_process() else None]
    broadcast_object_list(result)  # no process goes on before the files are where they will stay
    if (folder := result[0]) is None:
        return
    if is_main_process():
        print(f'the checkpoints of an earlier run are now in {folder} (--resume would have continued it)')
    moved = folder / Path(cfg.get('load_from') or '').name
    if moved.is_file() and Path(cfg.load_from).parent.resolve() == work_dir.resolve():
        cfg.load_from = str(moved)


def add_hooks(cfg: Config) -> None:
    """Add the hooks that every run of the tools has; make checkpoints atomic, and at least ten in a run."""
    hooks = list(cfg.get('custom_hooks') or [])
    present = {hook.get('type') for hook in hooks}
    cfg.custom_hooks = hooks + [dict(type=name) for name in _ALWAYS if name not in present]
    default_hooks = dict(cfg.get('default_hooks') or {})
    if default_hooks.get('checkpoint', {}) is not None:
        checkpoint = dict(default_hooks.get('checkpoint', dict(interval=1)))  # mmengine's default
        if checkpoint.get('type', 'CheckpointHook') in _MMENGINE_CHECKPOINTS:
            checkpoint['type'] = 'densevit.AtomicCheckpointHook'
        interval, tenth = checkpoint.get('interval', -1), ((cfg.get('train_cfg') or {}).get('max_iters') or 0) // 10
        if tenth and interval > 0 and not checkpoint.get('by_epoch', True):
            checkpoint['interval'] = min(interval, tenth)
        cfg.default_hooks = dict(default_hooks, checkpoint=checkpoint)


def build_runner(cfg: Config) -> Any:
    """mmengine's ``Runner``, or the one that ``runner_type`` names."""
    runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
    if cfg.get('sync_bn') and isinstance(runner.model, nn.Module):
        synchronise_anywhere(runner.model)
    return runner


def train(cfg: Config, load_weights: Callable[[nn.Module, str], Any]) -> None:
    """Train to the end.

    Args:
        cfg: Of the run. Unless it is resumed, ``load_from`` is taken out of it.
        load_weights: Fills a model from the path that ``load_from`` has.

    Raises:
        ConfigError: ``load_from`` with a strategy that shards the model or copies its weights.
        EmptyDatasetError: A dataset has no sample, which mmengine says in words of numpy.
        AnnotationError: A COCO file lacks what mmdetection's dataset needs.
    """
    hooks = _initial_weights(cfg, load_weights)
    try:
        runner = build_runner(cfg)
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
    except (KeyError, TypeError, ValueError) as error:
        check_coco_files(cfg)  # mmdetection's dataset says neither file nor entry
        if 'need at least one array to concatenate' not in str(error):
            raise
        raise EmptyDatasetError('a data set of the config has no image: see what its ann_file, indices and filter_cfg '
                                f'leave of it; {HELP}') from error


def _initial_weights(cfg: Config, load_weights: Callable[[nn.Module, str], Any]) -> list[InitialWeightsHook]:
    path = cfg.get('load_from')
    if not path or cfg.get('resume'):
        return []
    if (strategy := strategy_of(cfg)) not in WHOLE_MODEL:
        raise ConfigError(f'load_from cannot fill a model under {strategy}, which has sharded or copied its weights by '
                          "then: give the backbone init_cfg=dict(type='Pretrained', checkpoint=...), or train without "
                          'this strategy')
    cfg.load_from = None
    cfg.model = without_pretraining(cfg.model)
    return [InitialWeightsHook(load_weights, path)]

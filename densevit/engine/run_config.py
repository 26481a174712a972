"""From a config file and the command line to a runner."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from ..datasets.common.checks import EmptyDatasetError, check_coco_files
from ..datasets.common.locate import HELP, check_data_roots, data_folders, resolve_data_roots
from ..datasets.tasks import check_configs
from ..layers import synchronise_anywhere
from ..models import check_model
from ..models.pretraining import without_pretraining
from ..registry import config_file, read_config
from .checkpoints import check_resumable, latest_checkpoint
from .distributed import WHOLE_MODEL, decide_once, strategy_of
from .guards import CheckModelHook
from .initial_weights import InitialWeightsHook
from .options import check_counts, check_options, entries, explained
from .resuming import ResumeHook
from .stopping import StopSignalHook
from .trained_parameters import TrainedParametersHook
from .work_dir import SetAsideHook

_ALWAYS = ('densevit.DataCheckHook', 'densevit.NonFiniteLossHook', 'densevit.ProgressHook', 'densevit.CurveHook')
_MMENGINE_CHECKPOINTS = ('CheckpointHook', 'mmengine.CheckpointHook')


class ConfigError(ValueError):
    """A config does not exist or cannot be read."""


def load_config(path: str, options: dict[str, Any], checkout: Path | None = None) -> Config:
    """Read a config, change it by ``--cfg-options`` and point it to the data.

    Args:
        path: The config's file, or its name in a package, such as ``densevit::tiny/eomt_tiny_camvid.py``.
        options: Values by dotted keys.
        checkout: Where else to look for ``data``; see :func:`densevit.datasets.common.locate.data_folders`.

    Raises:
        ConfigError: There is no such config, or it is broken.
        OptionError: A key of the options is unknown, or a length is no number.
    """
    try:
        file = config_file(path)
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from error
    if not file.is_file():
        near = get_close_matches(path, map(str, Path().glob('configs/**/*.py')), 1)
        raise ConfigError(f"the config {path} does not exist{f': did you mean {near[0]}?' if near else ''}")
    try:
        cfg = read_config(file)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    check_options(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AssertionError) as error:
        raise ConfigError(f'--cfg-options do not fit {path}: {error}') from error
    check_counts(cfg)
    resolve_data_roots(cfg, data_folders(checkout))
    return cfg


def check_data(cfg: Config, splits: Sequence[str], checkout: Path | None = None) -> None:
    """See that the data of some splits is where the config says; see ``check_data_roots`` and ``check_configs``."""
    check_data_roots(cfg, data_folders(checkout), splits)
    check_configs(cfg, splits)


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

    With ``'auto'`` and no checkpoint yet, the run begins.

    Raises:
        CheckpointError: The checkpoint is not one that a run can be continued from.
    """
    resume = resume or ('auto' if cfg.get('resume') and not cfg.get('load_from') else None)
    if resume is None and not cfg.get('resume'):
        return
    path = decide_once(partial(_resumable, Path(cfg.work_dir), resume or cfg.load_from))
    cfg.resume = path is not None
    if path is not None:
        cfg.load_from = str(path)
        cfg.model = without_pretraining(cfg.model)


def _resumable(work_dir: Path, given: str) -> Path | None:
    if given != 'auto':
        check_resumable(Path(given))
        return Path(given)
    path = latest_checkpoint(work_dir)
    if path is None:
        print(f'nothing to resume in {work_dir}: the run begins', file=sys.stderr)
    return path


def add_hooks(cfg: Config) -> None:
    """Add the hooks that every run of the tools has.

    Checkpoints are atomic, at least ten in a run, and the best one of the validations is kept. Where gradients are
    summed over several batches, they are written between two steps: what is half summed would be lost.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    present = {hook.get('type') for hook in hooks}
    cfg.custom_hooks = hooks + [dict(type=name) for name in _ALWAYS if name not in present]
    default_hooks = dict(cfg.get('default_hooks') or {})
    if default_hooks.get('checkpoint', {}) is not None:
        checkpoint = dict(default_hooks.get('checkpoint', dict(interval=1)))  # mmengine's default
        if checkpoint.get('type', 'CheckpointHook') in _MMENGINE_CHECKPOINTS:
            checkpoint['type'] = 'densevit.AtomicCheckpointHook'
        if checkpoint['type'] == 'densevit.AtomicCheckpointHook' and cfg.get('val_evaluator'):
            checkpoint.setdefault('save_best', 'auto')
        interval, tenth = checkpoint.get('interval', -1), ((cfg.get('train_cfg') or {}).get('max_iters') or 0) // 10
        if tenth and interval > 0 and not checkpoint.get('by_epoch', True):
            summed = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
            checkpoint['interval'] = -(-min(interval, tenth) // summed) * summed
        cfg.default_hooks = dict(default_hooks, checkpoint=checkpoint)


def build_runner(cfg: Config) -> Any:
    """mmengine's ``Runner``, or the one that ``runner_type`` names.

    Raises:
        ValueError: The model's neck or heads do not fit its backbone; see :func:`densevit.check_model`.
        OptionError: The config has an argument or a type that there is not.
    """
    with explained(cfg):
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
    if not isinstance(runner.model, nn.Module):  # FlexibleRunner builds it when it runs
        runner.register_hook(CheckModelHook())
        return runner
    check_model(runner.model)
    if cfg.get('sync_bn'):
        synchronise_anywhere(runner.model)
    return runner


def train(cfg: Config, base: str | None = None, new_classes: bool = False) -> None:
    """Train to the end.

    Args:
        cfg: The config of the run. Unless it is resumed, ``load_from`` is taken out of it.
        base: The weights that the checkpoint of ``load_from`` refers to, if it is one of differences.
        new_classes: Leave the class heads of ``load_from`` out.

    Raises:
        ConfigError: ``load_from`` with a strategy that shards the model or copies its weights.
        EmptyDatasetError: A dataset has no sample, which mmengine says in words of numpy.
        RunStopped: A signal asked for it, and the iteration that ran was finished and saved.
        ResumeError: The run differs from the one that is resumed in what cannot be changed.
        AnnotationError: A COCO file lacks what mmdetection's dataset needs.
        OptionError: The config has an argument or a type that there is not.
    """
    _refuse_sharded_adapters(cfg)
    resumed, stop = bool(cfg.get('resume')), StopSignalHook()
    first = _initial_weights(cfg, base, new_classes)
    hooks = [*first, ResumeHook(resumed), *([] if resumed else [SetAsideHook()]), TrainedParametersHook(), stop]
    try:
        runner = build_runner(cfg)
        for hook in hooks:
            runner.register_hook(hook)
        with explained(cfg):  # the datasets are built here
            runner.train()
    except (KeyError, TypeError, ValueError) as error:
        check_coco_files(cfg)  # mmdetection's dataset says neither file nor entry
        if 'need at least one array to concatenate' not in str(error):
            raise
        raise EmptyDatasetError('a data set of the config has no image: see what its ann_file, indices and filter_cfg '
                                f'leave of it; {HELP}') from error
    finally:
        stop.restore()


def _refuse_sharded_adapters(cfg: Config) -> None:
    if (strategy := strategy_of(cfg)) in WHOLE_MODEL:
        return
    if adapted := [key for key, value in entries(cfg.to_dict()) if key.endswith('backbone.lora') and value]:
        raise ConfigError(f'{adapted[0]} does not go with {strategy}, which joins what is frozen and what learns: '
                          'adapters need little memory, train without this strategy')


def _initial_weights(cfg: Config, base: str | None, new_classes: bool) -> list[InitialWeightsHook]:
    path = cfg.get('load_from')
    if not path or cfg.get('resume'):
        return []
    if (strategy := strategy_of(cfg)) not in WHOLE_MODEL:
        raise ConfigError(f'load_from cannot fill a model under {strategy}, which has sharded or copied its weights by '
                          "then: give the backbone init_cfg=dict(type='Pretrained', checkpoint=...), or train without "
                          'this strategy')
    cfg.load_from = None
    cfg.model = without_pretraining(cfg.model)
    return [InitialWeightsHook(path, base, new_classes)]

"""Checkpoints that survive a kill at any moment, and finding the latest of them."""
from __future__ import annotations

import re
import shutil
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import is_model_wrapper

from ..errors import shorten
from ..evaluation.main_metrics import MAIN_METRICS
from ..files import damaged_part, write_atomic
from ..pickles import load_torch
from ..registry import HOOKS
from ..weights.finite import non_finite
from .distributed import any_process

_STEP = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
_GREATER_IS_BETTER = re.compile(r'(\w+_)?m?(AP|AR|PQ|SQ|RQ)(\d*|[_@].*)|[ma](IoU|Acc|Dice)')


class CheckpointError(ValueError):
    """A checkpoint cannot be resumed from."""


class DiskFullError(OSError):
    """There is no space for a checkpoint."""


class NonFiniteWeightsError(ArithmeticError):
    """Weights became NaN or infinite."""


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook, but a new checkpoint is whole on the disk before an old one is removed.

    Each file appears under its name in one step, ``last_checkpoint`` included, so that a run killed at any moment can
    be resumed, even with ``max_keep_ckpts=1``. Weights that are not finite, the averaged ones included, are never
    written.

    ``save_best='auto'`` goes by the metric of the task: the first of ``MAIN_METRICS`` (in
    :mod:`densevit.evaluation.main_metrics`) that there is, whatever prefix it has; without one of them by the first
    figure that the validation gives.
    """

    def __init__(self, *args: Any, backend_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=backend_args or dict(backend='densevit_atomic'), **kwargs)
        for unknown in self.args:  # which mmengine would find when it saves
            raise TypeError(f"AtomicCheckpointHook.__init__() got an unexpected keyword argument '{unknown}'")
        self._position: dict[str, int] = {}

    def before_train(self, runner: Any) -> None:
        """See that a checkpoint would fit on the disk: the weights, their average and AdamW's two moments.

        The best one is without these moments.

        Raises:
            DiskFullError: It would not.
        """
        super().before_train(runner)
        needed = (6 if self.save_best else 4) * sum(
            parameter.numel() * parameter.element_size() for parameter in runner.model.parameters())
        free = shutil.disk_usage(runner.work_dir).free
        if free < needed:
            raise DiskFullError(f'{runner.work_dir} has {free / 1e9:.2f} GB left and a checkpoint takes about '
                                f'{needed / 1e9:.2f} GB: free some space or choose another --work-dir')

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Note where the run stands; mmengine's ``FlexibleRunner`` counts one iteration too many in a validation."""
        checkpoint['meta'].update(self._position)

    def save_now(self, runner: Any, step: int) -> str | None:
        """Save a checkpoint of this iteration, unless there is one, whatever the interval.

        Returns:
            Its path. Where epochs are counted, that of the last one, if any: within an epoch no run can be resumed.
        """
        if not self.by_epoch and not self._has_saved(step):
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))
        return self.last_ckpt

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        refuse_non_finite(runner, self.last_ckpt)
        outdated = self._keep(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._write(runner, name, meta, save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler, by_epoch=self.by_epoch)
        if is_main_process():
            write_atomic(self.last_ckpt.encode(), Path(runner.work_dir, 'last_checkpoint'))
            for old in outdated:
                self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _has_saved(self, step: int) -> bool:
        return self.last_ckpt is not None and Path(self.last_ckpt).name == self.filename_tmpl.format(step)

    def _write(self, runner: Any, name: str, meta: dict[str, Any], **options: Any) -> None:
        self._position = dict(meta)
        runner.save_checkpoint(
            self.out_dir, name, self.file_client_args, meta=meta, backend_args=self.backend_args, **options)
        self._position = {}

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

    def _init_rule(self, rules: list[str | None], key_indicators: list[str]) -> None:
        if len(rules) == 1:
            rules = rules * len(key_indicators)
        super()._init_rule(
            [rule or better_end(key) for rule, key in zip(rules, key_indicators, strict=True)], key_indicators)

    def _save_best_checkpoint(self, runner: Any, metrics: Mapping[str, Any]) -> None:
        """mmengine removes the earlier best first."""
        if not self.save_best or not hasattr(self, 'file_backend'):  # the latter in a validation without a training
            return
        if 'auto' in self.key_indicators:
            try:
                self._init_rule(self.rules, [task_metric(metrics)])
            except ValueError as error:
                runner.logger.warning(f'no best checkpoint is kept: {error} Set default_hooks.checkpoint.rule to '
                                      "'greater' or 'less', or save_best to the name of a metric")
                self.save_best = None
                return
        step = runner.epoch if self.by_epoch else runner.iter
        meta, outdated = dict(epoch=runner.epoch, iter=runner.iter), []
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            if key not in metrics:
                raise KeyError(f"default_hooks.checkpoint.save_best='{key}' is none of what the validation gives: "
                               f"choose of {', '.join(metrics)}, or 'auto'")
            suffix = '' if len(self.key_indicators) == 1 else f'_{key}'
            best = runner.message_hub.runtime_info.get(f'best_score{suffix}', self.init_value_map[rule])
            if metrics[key] is None or not self.is_better_than[key](metrics[key], best):
                continue
            refuse_non_finite(runner, self.last_ckpt)
            outdated.append(self._save_best(runner, key, suffix, float(metrics[key]), step, meta))
        if outdated and self._has_saved(step):  # again, now that the run has another best score
            self._save_checkpoint_with_step(runner, step, dict(meta))
        if is_main_process():
            for path in filter(None, outdated):
                self._remove(path)

    def _save_best(self, runner: Any, key: str, suffix: str, score: float, step: int, meta: dict[str, int]
                   ) -> str | None:
        """Write the best checkpoint of a metric; the path of the earlier one, which it replaces."""
        name = f'best_{key}_{self.filename_tmpl.format(step)}'.replace('/', '_')
        path = self.file_backend.join_path(self.out_dir, name)
        earlier = self.best_ckpt_path_dict[key] if suffix else self.best_ckpt_path
        if suffix:
            self.best_ckpt_path_dict[key] = path
        else:
            self.best_ckpt_path = path
        runner.message_hub.update_info(f'best_score{suffix}', score)
        runner.message_hub.update_info(f'best_ckpt{suffix}', path)
        self._write(runner, name, dict(meta), save_optimizer=False, save_param_scheduler=False, by_epoch=False)
        runner.logger.info(f'the best checkpoint so far, with {key}={score:.4f}, is {path}')
        if not earlier or Path(earlier).name == name:
            return None
        # A work dir may have been copied: what is in the other one stays.
        return self.file_backend.join_path(self.out_dir, Path(earlier).name)


def task_metric(metrics: Mapping[str, Any]) -> str:
    """Which figure of a validation the best checkpoint is chosen by."""
    by_name = {_base_name(key): key for key in metrics}
    return next((by_name[name] for name in MAIN_METRICS if name in by_name), next(iter(metrics)))


def better_end(metric: str) -> str | None:
    """Whether a figure is better the ``'greater'`` or the ``'less'`` it is; None where its name does not tell."""
    name = _base_name(metric)
    return MAIN_METRICS.get(name, 'greater' if _GREATER_IS_BETTER.fullmatch(name) else None)


def _base_name(metric: str) -> str:
    """Without the prefix of its evaluator, ``coco/`` of ``coco/segm_mAP``."""
    return metric.rpartition('/')[2]


def refuse_non_finite(runner: Any, last: str | None) -> None:
    """See that the weights, and their averages, are numbers; all processes stop where those of one are not.

    Args:
        last: The last checkpoint.

    Raises:
        NonFiniteWeightsError: They are not.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    models = {'': model, 'averaged ': None}
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            models['averaged '] = hook.ema_model.module
    wrong = [f'{kind}{name}' for kind, module in models.items() if module is not None
             for name in (*non_finite(dict(module.named_parameters()), masks=False),
                          *non_finite(dict(module.named_buffers())))]
    if any_process(bool(wrong)):
        raise NonFiniteWeightsError(
            f'the weights became NaN or infinite ({shorten(wrong, 3) or "in another process"}) and were not saved: '
            'lower optim_wrapper.optimizer.lr or optim_wrapper.clip_grad.max_norm, and '
            + (f'go on from {last} with --resume' if last else 'begin again'))


def latest_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint that ``last_checkpoint`` names, or the one of most steps, of those that can be resumed from.

    What is left out for its damage is told on stderr.

    Raises:
        CheckpointError: There are checkpoints, and a run can be continued from none of them.
    """
    found = {path: int(match[1]) for path in work_dir.glob('*.pth') if (match := _STEP.fullmatch(path.name))}
    noted = _noted_name(work_dir)
    named = [path for path in work_dir.glob('*.pth') if path.name == noted and not noted.startswith('best_')]
    errors = []
    for path in dict.fromkeys([*named, *sorted(found, key=found.get, reverse=True)]):
        try:
            check_resumable(path)
        except CheckpointError as error:
            errors.append(str(error))
            continue
        for error in errors:
            print(f'warning: left out: {error}', file=sys.stderr)
        return path
    if errors:
        raise CheckpointError(f'none of the {len(errors)} checkpoint(s) in {work_dir} can be resumed from; restore '
                              'one, or begin a new run without --resume, which moves them aside. The latest: '
                              f'{errors[0]}')
    return None


def _noted_name(work_dir: Path) -> str:
    note = work_dir / 'last_checkpoint'
    text = note.read_bytes().decode(errors='replace') if note.is_file() else ''
    return text.strip().replace('\\', '/').rpartition('/')[2]


def check_resumable(path: Path) -> None:
    """Read a checkpoint without running anything in it.

    Raises:
        CheckpointError: It is missing, damaged, unsafe, holds weights alone, or weights that are not finite; or it is
            a folder.
    """
    if path.is_dir():
        raise CheckpointError(f'{path} is a folder of shards, which are pickles that could run any code and are not '
                              "opened: resume from one file, as FSDP writes it with strategy.state_dict_cfg='full'")
    if not path.is_file():
        raise CheckpointError(f'{path} does not exist: give an existing checkpoint, or --resume alone for the latest '
                              'of the work dir')
    try:
        if (part := damaged_part(path)) is not None:
            raise ValueError(f'the checksum of {part} is wrong')
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
    for key in ('state_dict', 'ema_state_dict'):
        if wrong := non_finite(content.get(key, {})):
            raise CheckpointError(f'{path} holds NaN or infinite weights ({shorten(wrong, 3)}): resume from an earlier '
                                  'checkpoint, with a lower optim_wrapper.optimizer.lr')

"""A run that is resumed with another config than it had: what follows the config, and what cannot."""
from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

# What a scheduler has beside its settings; base values follow from the optimizer's.
_PROGRESS = {'base_values', 'last_step', '_last_value', '_global_step', 'verbose', 'best', 'num_bad_epochs',
             'cooldown_counter'}
_WARM_UPS = ('ConstantLR', 'LinearLR')  # of which the last value is meant to stay


class ResumeError(ValueError):
    """A run cannot be continued with this config."""


class ResumeHook(Hook):
    """Compares a run with the checkpoint that it is resumed from, and lets it follow its own config.

    mmengine takes rates, weight decay and schedules from the checkpoint, so that what the config says is not heard.
    Where the config says otherwise, the optimizer gets its options, and each schedule is brought to the iteration of
    the checkpoint as in a run that began so. Nothing is touched where all is as it was.

    Args:
        resumed: Whether the run goes on from a checkpoint.
    """
    priority = 'VERY_HIGH'  # before the EMAHook takes up what it finds

    def __init__(self, resumed: bool) -> None:
        self.resumed = resumed
        self.fresh: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint['meta']['run'] = _facts(runner)
        states = checkpoint.get('param_schedulers') or []
        for state in states if isinstance(states, list) else []:
            for name in [name for name, value in state.items() if callable(value)]:
                del state[name]  # of OneCycleLR; a checkpoint with a function would not be read

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Compare, before anything of the checkpoint is used.

        Raises:
            ResumeError: The model, the optimizer or its groups are others, or the run is shorter than what was trained.
        """
        wrapper = runner.optim_wrapper
        if not self.resumed or isinstance(wrapper, OptimWrapperDict) or 'optimizer' not in checkpoint:
            return  # the last is DeepSpeed's
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        saved = checkpoint['optimizer']['param_groups']
        if not any(isinstance(module, FullyShardedDataParallel) for module in runner.model.modules()):
            _check_weights(model, checkpoint['state_dict'])
            _check_groups(wrapper.optimizer.param_groups, saved)
        before, now = checkpoint['meta'].get('run', {}), _facts(runner)
        _check_kind(before, now, wrapper.optimizer.param_groups, saved)
        _check_length(checkpoint['meta'], runner)
        for key, what in dict(processes='process(es)', batch_size='image(s) in each').items():
            if before.get(key, now[key]) != now[key]:
                runner.logger.warning(
                    f'the run had {before[key]} {what} and now has {now[key]}: its result will not be that of a run '
                    'that was never stopped')
        if 'ema_state_dict' in checkpoint and not any(isinstance(hook, EMAHook) for hook in runner.hooks):
            runner.logger.warning('the run averaged its weights (EMAHook) and no longer does: it goes on from those '
                                  'that were not averaged')
            checkpoint['state_dict'].update({
                name.removeprefix('module.'): tensor for name, tensor in checkpoint.pop('ema_state_dict').items()
                if name.startswith('module.')})
        self._compare_options(runner, saved, checkpoint.get('param_schedulers') or [])

    def _compare_options(self, runner: Any, groups: Sequence[dict], states: Sequence[dict]) -> None:
        schedulers = runner.param_schedulers or []
        scheduled = {scheduler.param_name for scheduler in schedulers}
        changes = dict(_changed_options(runner.optim_wrapper.optimizer.param_groups, groups, scheduled))
        changes.update(_changed_schedules(schedulers, states))
        if not changes:
            return
        if any(hasattr(scheduler, 'need_val_args') for scheduler in schedulers):
            raise ResumeError(f'{", ".join(changes)} changed, and a schedule that depends on validations cannot '
                              'follow: resume with the values of the checkpoint')
        told = [f'{name}={new} (was {old})' for name, (old, new) in changes.items()]
        runner.logger.warning(f'resumed with {", ".join(told)}: rates go on as in a run that began so')
        self.fresh = (  # with the group that the wrapper adds to log the base rate
            [{key: copy.deepcopy(value) for key, value in group.items() if key != 'params'}
             for group in runner.optim_wrapper.param_groups],
            [copy.deepcopy(scheduler.state_dict()) for scheduler in schedulers])

    def before_train(self, runner: Any) -> None:
        if self.fresh is not None:
            groups, states = self.fresh
            for group, options in zip(runner.optim_wrapper.param_groups, groups, strict=True):
                group.update(options)
            _replay(runner, states)
        for line in schedule_mismatches(runner):
            runner.logger.warning(line)


def _facts(runner: Any) -> dict[str, Any]:
    wrapper = runner.optim_wrapper
    return dict(
        optimizer=None if isinstance(wrapper, OptimWrapperDict) else type(wrapper.optimizer).__name__,
        processes=get_world_size(),
        batch_size=getattr(runner.train_dataloader.batch_sampler, 'batch_size', None))


def _check_weights(model: nn.Module, state: Mapping[str, Any]) -> None:
    parameters = {name for name, _ in model.named_parameters()}
    for name, tensor in model.state_dict().items():
        if name not in state and name not in parameters:
            continue  # a buffer that another version had not
        there = tuple(state[name].shape) if name in state else 'absent'
        if there != tuple(tensor.shape):
            raise ResumeError(f'the checkpoint is of another model: {name} is {there} there and {tuple(tensor.shape)} '
                              'in the config: resume with the model that it was trained with (its config is in the '
                              'work dir), or begin a new run without --resume')


def _check_groups(groups: Sequence[dict], saved: Sequence[dict]) -> None:
    here, there = ([len(group['params']) for group in part] for part in (groups, saved))
    if here != there:
        raise ResumeError(
            f'the optimizer of the checkpoint has {len(there)} group(s) of {sum(there)} parameters and that of the '
            f'config {len(here)} of {sum(here)}: resume with the optim_wrapper that it was trained with, or begin a '
            'new run with its weights (--load-from)')


def _check_kind(before: dict, now: dict, groups: Sequence[dict], saved: Sequence[dict]) -> None:
    own, other = ({key for key in group if not key.startswith('initial_')} for group in (groups[0], saved[0]))
    kind = before.get('optimizer') or (now['optimizer'] if own <= other or other <= own else 'another')
    if kind != now['optimizer']:
        raise ResumeError(f"the checkpoint is of optimizer {kind} and the config's is {now['optimizer']}: set "
                          'optim_wrapper.optimizer.type back, or begin a new run with its weights (--load-from)')


def _check_length(meta: Mapping[str, Any], runner: Any) -> None:
    kind = 'epoch' if isinstance(runner.train_loop, EpochBasedTrainLoop) else 'iter'  # an epoch may change its length
    done, length = meta[kind], getattr(runner, f'max_{kind}s')
    unit = 'epochs' if kind == 'epoch' else 'iterations'
    if done > length:
        raise ResumeError(f'the checkpoint has {done} {unit} behind it, and the config trains {length}: set '
                          f'train_cfg.max_{kind}s above {done}')
    if done == length:
        runner.logger.warning(f'all {done} {unit} are done: set train_cfg.max_{kind}s above it to train on')


def _changed_options(groups: Sequence[dict], saved: Sequence[dict], scheduled: set[str]
                     ) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Names of an optimizer's options with the old and the new value, of the first group in which they differ."""
    seen = set()
    for group, old in zip(groups, saved, strict=False):
        for key in sorted((group.keys() & old.keys()) - {'params'} - scheduled - seen):
            if group[key] != old[key]:
                seen.add(key)
                yield key.removeprefix('initial_'), (old[key], group[key])


def _changed_schedules(schedulers: Sequence[Any], states: Sequence[dict]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if len(schedulers) != len(states):
        yield 'len(param_scheduler)', (len(states), len(schedulers))
    for index, (scheduler, old) in enumerate(zip(schedulers, states, strict=False)):
        state = {key: value for key, value in scheduler.state_dict().items() if not callable(value)}
        if state.keys() != old.keys():
            yield f'param_scheduler.{index}.type', ('another', type(scheduler).__name__)
        for key in sorted((state.keys() & old.keys()) - _PROGRESS):
            if state[key] != old[key]:
                yield f'param_scheduler.{index}.{key}', (old[key], state[key])


def _replay(runner: Any, states: Sequence[dict]) -> None:
    """Bring schedulers in their first state, and the optimizer's values with them, to the iteration of the run."""
    schedulers = runner.param_schedulers or []
    for scheduler, state in zip(schedulers, states, strict=True):
        scheduler.load_state_dict(state)
    epoch = len(runner.train_dataloader) if isinstance(runner.train_loop, EpochBasedTrainLoop) else None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimizer has made no step yet
        for step in range(1, runner.iter + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch or (epoch is not None and step % epoch == 0):
                    scheduler.step()


def schedule_mismatches(runner: Any) -> Iterator[str]:
    """Tell of schedules that were made for a longer or a shorter run."""
    schedulers = runner.param_schedulers if isinstance(runner.param_schedulers, list) else []
    listed = isinstance(runner.cfg.get('param_scheduler'), list | tuple)
    last = {scheduler.param_name: (index, scheduler)
            for index, scheduler in sorted(enumerate(schedulers), key=lambda entry: entry[1].end)}
    for name, (index, scheduler) in last.items():
        key = f'param_scheduler.{index}.' if listed else 'param_scheduler.'
        length, unit = (runner.max_epochs, 'max_epochs') if scheduler.by_epoch else (runner.max_iters, 'max_iters')
        period = getattr(scheduler, 'T_max', scheduler.end - scheduler.begin)
        option, end = 'end', scheduler.end
        if scheduler.end == length and period != scheduler.end - scheduler.begin:
            option, end = 'T_max', scheduler.begin + period
        if end == length or (end < length and type(scheduler).__name__ in _WARM_UPS):
            continue
        what = f'{name} has not come to the end of its schedule when the run ends' if end > length else (
            f'the schedule of {name} ends before the run does')
        value = length - scheduler.begin if option == 'T_max' else length
        yield f'{key}{option}={end if option == "end" else period} and train_cfg.{unit}={length}: {what}; ' + (
            f'for a schedule of the length of the run set {key}{option}={value}' if value > scheduler.begin else
            'what comes before it is longer than the run')

"""Several processes on machines with and without GPUs; mmengine's launchers assume CUDA."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import all_reduce, broadcast_object_list, get_world_size, init_dist, is_main_process
from mmengine.utils.dl_utils import set_multi_processing

Decision = TypeVar('Decision')

WHOLE_MODEL = ('SingleDeviceStrategy', 'DDPStrategy')  # strategies under which each process has all weights
_VARIABLES = dict(
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'))


class LauncherError(ValueError):
    """The launcher was named, but did not start this process."""


def strategy_of(cfg: Config) -> str:
    """Name of the strategy of mmengine's ``FlexibleRunner``; a plain ``Runner`` has the one of a single device."""
    if cfg.get('runner_type', 'Runner').rpartition('.')[2] != 'FlexibleRunner':
        return 'SingleDeviceStrategy'
    return (cfg.get('strategy') or {}).get('type', 'SingleDeviceStrategy').rpartition('.')[2]


def prepare_launcher(cfg: Config, launcher: str) -> None:
    """Start the process group for a launcher, and without CUDA let ``cfg`` place the model on the CPU.

    The group is there before the work dir is prepared, which one process does alone.

    Raises:
        LauncherError: The launcher's environment variables are missing.
    """
    cfg.launcher = launcher
    strategy = strategy_of(cfg)
    sharded = strategy != 'SingleDeviceStrategy'
    if launcher == 'none':
        if sharded:
            raise LauncherError(f'{strategy} needs several processes: start it with tools/dist_train.sh')
        return
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise LauncherError(f'--launcher {launcher}: the environment has no {missing[0]}; start the processes with '
                            f'{"tools/dist_train.sh CONFIG 2" if launcher == "pytorch" else launcher}')
    os.environ['RANK'] = os.environ[_VARIABLES[launcher][0]]
    if torch.cuda.is_available():
        _start_on_gpus(cfg, launcher, strategy)
    else:
        _start_gloo(launcher)
        _place_on_cpu(cfg, sharded)


def _start_on_gpus(cfg: Config, launcher: str, strategy: str) -> None:
    """What mmengine's runner does where it finds no process group; DeepSpeed and ColossalAI start their own."""
    if strategy not in (*WHOLE_MODEL, 'FSDPStrategy') or dist.is_initialized():
        return
    environment = cfg.get('env_cfg') or {}
    set_multi_processing(**environment.get('mp_cfg', {}), distributed=True)
    init_dist(launcher, **environment.get('dist_cfg', {}))


def _start_gloo(launcher: str) -> None:
    rank, size, local_rank = (os.environ[name] for name in _VARIABLES[launcher])
    os.environ.update(RANK=rank, WORLD_SIZE=size, LOCAL_RANK=local_rank)
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    if not dist.is_initialized():
        dist.init_process_group('gloo')


def _place_on_cpu(cfg: Config, sharded: bool) -> None:
    """mmengine's wrappers take ``LOCAL_RANK`` for the number of a GPU, and synchronised batch norms need one."""
    cfg.merge_from_dict(dict(env_cfg=dict(dist_cfg=dict(backend='gloo'))))
    options, key = (cfg.strategy, 'model_wrapper') if sharded else (cfg, 'model_wrapper_cfg')
    given = dict(options.get(key) or {})
    if sharded and 'FSDP' in cfg.strategy.type:
        wrapper = dict(type='MMFullyShardedDataParallel', device_id='cpu')
    else:
        wrapper = dict(
            type='densevit.CPUDistributedDataParallel', device_ids=None, broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False))
        if given.get('type') in ('MMDistributedDataParallel', 'mmengine.MMDistributedDataParallel'):
            del given['type']
    if options.get('sync_bn') == 'mmcv':
        options.sync_bn = 'torch'  # which the wrapper knows how to run
    options[key] = {**wrapper, **given}


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all of them call this and get the same answer."""
    if get_world_size() == 1:
        return flag
    told = torch.tensor(int(flag))
    all_reduce(told, 'max')
    return bool(told)


def decide_once(function: Callable[[], Decision]) -> Decision:
    """What a function gives in the main process, in all of them; so with its error, for which all stop alike.

    Args:
        function: Looks at files, say, which the other processes could see at another moment; its result can be
            pickled.
    """
    outcome: list[Any] = [None, None]
    if is_main_process():
        try:
            outcome[0] = function()
        except (ValueError, OSError) as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]

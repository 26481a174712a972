"""What one of several processes computes with its share of a batch; run by test_norm.py."""
from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from densevit.layers import joined_processes, synchronise_anywhere

SHARDED = partial(FullyShardedDataParallel, device_id='cpu')
Case = tuple[nn.Module, Tensor, Sequence[int], Callable[[nn.Module], nn.Module]]


def step(network: nn.Module, images: Tensor, processes: int) -> dict[str, Any]:
    """Outputs, gradients of the mean loss over all processes, and buffers, after three training steps of rate 0."""
    images = images.clone().requires_grad_()
    for scale in (1., 2., 1.):
        network.zero_grad()
        images.grad = None
        outputs = network(scale * images)
        (processes * outputs.float().square().sin().sum()).backward()
    inner = network.module if processes > 1 else network
    return dict(
        outputs=outputs.detach(), images=images.grad / processes,
        parameters={name: parameter.grad for name, parameter in inner.named_parameters()},
        buffers=dict(inner.named_buffers()))


def work(rank: int, folder: str, cases: Sequence[Case]) -> None:
    """Save what comes of this process's share of each case's batch."""
    torch.set_num_threads(1)
    processes = len(cases[0][2])
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=processes)
    results = []
    for network, images, shares, wrapper in cases:
        network = copy.deepcopy(network)  # what comes from the parent process lies in memory that all share
        results.append(step(wrapper(synchronise_anywhere(network)), images.split(list(shares))[rank], processes))
    joined = [joined_processes(norm) for norm in (nn.BatchNorm2d(1), nn.SyncBatchNorm(1))]
    torch.save(dict(results=results, joined=joined), Path(folder, f'{rank}.pt'))
    dist.destroy_process_group()

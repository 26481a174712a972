"""Batch normalisation over all processes of a run."""
from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):
    """Batch norm whose statistics in training are those of all processes, on GPUs and on CPUs: (B, C, ...) to the same.

    Several processes compute what one does with the joined batch, also where their shares differ in size: outputs,
    gradients of the summed losses, running statistics. Accelerators run torch's own layer. That one takes no tensors on
    a CPU, and ``DistributedDataParallel`` refuses all its subclasses there; hence this class is none of them, and sums
    over gloo. Arguments and state-dict names are those of ``nn.BatchNorm2d``.

    Attributes:
        process_group: The processes that are joined; None for all.
    """
    process_group: dist.ProcessGroup | None = None
    _check_input_dim = nn.SyncBatchNorm._check_input_dim
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...).

        Raises:
            ValueError: There are fewer than two dimensions, or one value per channel to train with.
        """
        if not self.training or joined_processes(self) == 1:
            return super().forward(input)
        if input.device.type == 'cpu':
            return self._joined_on_cpu(input)
        return nn.SyncBatchNorm.forward(self, input)

    def _joined_on_cpu(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        dims, shape = [0, *range(2, x.dim())], (-1, *[1] * (x.dim() - 2))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = wide.new_tensor([x.numel() // x.shape[1]])
        total, count = self._sum(torch.cat((wide.sum(dims), count))).split((x.shape[1], 1))
        mean = total / count
        centred = wide - mean.view(shape)  # squares of values far from zero would lose the digits of the variance
        variance = self._sum(centred.square().sum(dims)) / count
        if self.track_running_stats:
            self._track(mean.detach(), (variance * count / (count - 1)).detach())
        scale = (variance + self.eps).rsqrt()
        y = centred * (scale if self.weight is None else scale * self.weight).view(shape)
        return (y if self.bias is None else y + self.bias.view(shape)).to(x.dtype)

    def _sum(self, x: Tensor) -> Tensor:
        return _SumOverProcesses.apply(x, self.process_group)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        for running, value in ((self.running_mean, mean), (self.running_var, variance)):
            running.lerp_(value.to(running.dtype), momentum)


class _SyncBatchNormAct(SyncBatchNorm):
    """With the activation that timm's batch norms may hold."""

    def forward(self, input: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(input)))


class _SumOverProcesses(torch.autograd.Function):
    """Sums a tensor over processes, and on the way back its gradients: every process has read the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _SumOverProcesses.apply(grad, ctx.group), None


def joined_processes(norm: nn.Module) -> int:
    """The number of processes whose values a batch norm joins while it trains: 1 unless it is a synchronised one."""
    if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return 1
    joined = dist.is_available() and dist.is_initialized()
    return dist.get_world_size(getattr(norm, 'process_group', None)) if joined else 1


def synchronise_anywhere(module: nn.Module) -> nn.Module:
    """Put :class:`SyncBatchNorm` in the place of each ``nn.SyncBatchNorm``; the module itself is changed.

    Where PyTorch has converted a batch norm of timm's, its activation works again: PyTorch keeps it as a part of the
    norm that nothing calls.
    """
    for child in module.modules():
        if type(child) is nn.SyncBatchNorm:  # the class alone differs, and parameters may be known to an optimizer
            child.__class__ = _SyncBatchNormAct if hasattr(child, 'act') else SyncBatchNorm
    return module

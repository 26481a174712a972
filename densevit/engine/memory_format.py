"""How tensors lie in memory."""
from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Stores the kernels of convolutions, and so their maps, with channels last.

    Values stay what they are up to rounding. Convolutional stems run faster so on CPUs, and on GPUs in half precision.
    """

    def before_train(self, runner: Runner) -> None:
        runner.model.to(memory_format=torch.channels_last)

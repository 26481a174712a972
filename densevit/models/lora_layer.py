"""peft's linear layer with a low-rank adapter, under the names of the layer that it stands for.

Imports peft, and is imported where adapters are wanted.
"""
from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

ADAPTER = 'default'  # peft's name of the only one
# Names of peft's parameters, and those in a state dict.
_NAMES = {
    'base_layer.weight': 'weight', 'base_layer.bias': 'bias',
    f'lora_A.{ADAPTER}.weight': 'lora_A.weight', f'lora_B.{ADAPTER}.weight': 'lora_B.weight'}
_SCALING = 'lora_scaling'


class AdaptedLinear(Linear):
    """W x + b + s B A x, of which A and B learn.

    Its state dict is that of the linear layer W, b with ``lora_A.weight``, ``lora_B.weight`` and ``lora_scaling``
    beside them, so that checkpoints of models with and without adapters share names, and an adapter in a checkpoint
    can be merged by itself.
    """

    @property
    def weight(self) -> Tensor:
        """W + s B A, for code that reads the weight of a layer in the place of calling it, as attention with separate
        biases of queries and values does; peft's is W alone, with which the adapter would have no part."""
        return self.base_layer.weight + self.scaling[ADAPTER] * (
            self.lora_B[ADAPTER].weight @ self.lora_A[ADAPTER].weight)

    def begin(self) -> None:
        """What peft's constructor has not done."""
        # Autocast casts by itself; a copy in single precision would be cast back and kept beside the input.
        self.cast_input_dtype_enabled = False
        self.register_state_dict_post_hook(_tell_plain_names)
        self.register_load_state_dict_pre_hook(_take_plain_names)


def _tell_plain_names(module: AdaptedLinear, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for inner, told in _NAMES.items():
        if prefix + inner in state:
            state[prefix + told] = state.pop(prefix + inner)
    state[prefix + _SCALING] = torch.tensor(float(module.scaling[ADAPTER]))


def _take_plain_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for inner, told in _NAMES.items():
        if prefix + told in state:
            state[prefix + inner] = state.pop(prefix + told)
    scaling = state.pop(prefix + _SCALING, None)
    if scaling is not None and float(scaling) != float(torch.tensor(float(module.scaling[ADAPTER]))):
        raise ValueError(f'the adapters (LoRA) of the checkpoint are scaled by {float(scaling):g} and those of the '
                         f'config by {module.scaling[ADAPTER]:g}: set alpha / r of lora=dict(...) as it was')

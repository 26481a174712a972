"""Random values for every parameter and buffer."""
from __future__ import annotations

import torch
from torch import nn


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Values that leave no part of a module without effect: gates and scales that start at zero would hide errors.

    What a state dict does not hold is computed or constant and keeps its value; so do rotary frequencies and the
    probabilities of EoMT's masks.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point() or 'rope' in name or 'attn_mask_probs' in name:
                continue
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * (.3 if tensor.ndim > 1 else .6))
            if 'running_var' in name:
                tensor.abs_()
    return module.eval()

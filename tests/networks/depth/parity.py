"""Depth networks against others' with the same random weights, read through our readers: outputs and all gradients."""
from __future__ import annotations

from collections.abc import Callable

import torch
from randomised import randomise
from torch import Tensor, nn

from densevit import load_weights
from densevit.networks.depth import DepthNetwork
from densevit.weights.translate import translate

VIT = dict(embed_dim=32, depth=4, num_heads=2)
CHANNELS, WIDTH = (8, 12, 16, 20), 16


def assert_equal(
    ours: DepthNetwork,
    theirs: nn.Module,
    images: Tensor,
    forward: Callable[[Tensor], Tensor],
    kept: str | None = None,
    last: nn.Conv2d | None = None,
    share: float = 1e-4,
) -> None:
    """Load their weights, compare depths (B, h, w) and, for every parameter that theirs have, gradients.

    Args:
        ours: A network in eval mode with other values.
        theirs: The reference; every value of it is made random.
        images: Normalised.
        forward: The depth that the reference gives.
        last: Its last convolution, if what follows saturates: its values get a deviation of 1.
        kept: The beginning of the names that the reference does not hold.
        share: The greatest error, in deviations of what is compared.
    """
    randomise(theirs, 1)
    randomise(ours, 2)
    if last is not None:
        _tame(last, images, forward)
    report = load_weights(ours, theirs.state_dict())
    assert all(name.startswith(kept or '-') for name in report.missing), report.missing
    depth, expected = ours(images).depth, forward(images)
    close(depth, expected, share, 'depth')
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5))
    (depth * direction).sum().backward()
    (expected * direction).sum().backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters() if parameter.grad is not None}
    compared = 0
    for name, gradient in translate(gradients, ours).state.items():
        own = ours.get_parameter(name).grad
        if own is not None and gradient.any():
            close(own, gradient.reshape(own.shape), 10 * share, name)
            compared += 1
    reached = [name for name, parameter in ours.named_parameters()
               if parameter.grad is not None and parameter.grad.any() and not name.startswith(kept or '-')]
    assert compared == len(reached) > 20


@torch.no_grad()
def _tame(last: nn.Conv2d, images: Tensor, forward: Callable[[Tensor], Tensor]) -> None:
    values = []
    hook = last.register_forward_hook(lambda _, __, output: values.append(output))
    forward(images)
    hook.remove()
    for parameter in last.parameters():
        parameter.div_(values[0].std())


def close(actual: Tensor, expected: Tensor, share: float, what: str) -> None:
    """Within a share of the greatest value."""
    assert actual.shape == expected.shape, f'{what}: {tuple(actual.shape)} and {tuple(expected.shape)}'
    size = expected.abs().max().item()
    assert size > 0, what
    error = (actual - expected).abs().max().item()
    assert error <= share * size, f'{what}: error {error:.3g}, greatest value {size:.3g}'

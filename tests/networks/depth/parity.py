"""Depth networks against others' with the same random weights, read through our readers: outputs and all gradients."""
from __future__ import annotations

import copy
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
        share: The greatest error, in deviations of what is compared.
    """
    randomise(theirs, 1)
    randomise(ours, 2)
    if last is not None:
        _tame(last, images, forward)
    report = load_weights(ours, theirs.state_dict())
    assert not report.missing
    compare(ours, theirs, images, forward, share)


def compare(
    ours: DepthNetwork,
    theirs: nn.Module,
    images: Tensor,
    forward: Callable[[Tensor], Tensor],
    share: float = 1e-4,
) -> None:
    """Depths, and gradients of every parameter, of two networks with the same values; see :func:`assert_equal`."""
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
            close(own, gradient.reshape(own.shape), share, name)
            compared += 1
    reached = [name for name, parameter in ours.named_parameters()
               if parameter.grad is not None and parameter.grad.any()]
    assert compared == len(reached) > 20


@torch.no_grad()
def give(ours: DepthNetwork, theirs: nn.Module) -> None:
    """The values of ours to theirs, by the names that our reader gives to theirs; what only they have is random."""
    randomise(theirs, 1)
    state = theirs.state_dict()
    numbers = {name: torch.full(tensor.shape, float(number)) for number, (name, tensor) in enumerate(state.items())}
    own, names = ours.state_dict(), list(state)
    for name, number in translate(numbers, ours).state.items():
        if name in own:
            state[names[int(number.flatten()[0])]].copy_(own[name])
    assert all(map(torch.equal, own.values(), _reloaded(ours, theirs).values()))


def _reloaded(ours: DepthNetwork, theirs: nn.Module) -> dict[str, Tensor]:
    other = randomise(copy.deepcopy(ours), 9)
    load_weights(other, theirs.state_dict())
    return other.state_dict()


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

"""Which layers tell a masked image from a whole one: mask attribute conductance (RAM, Qin et al., arXiv:2409.19403).

A network that was pre-trained on masked images sees whole ones afterwards. RAM (section 3.3) trains those layers on
whose conductance (Dhamdhere et al., arXiv:1805.12233) is largest on a path from the masked image to the whole one, and
keeps what the others have learned.

The conductance of a layer with output y along a path of images x(t) is the integral of dF/dy * dy/dt: what flows
through it of the change of F, here the mean absolute error of the restored image. Layers that together cut the network
share the whole change, F(x(1)) - F(x(0)): those one behind the other have the same, and branches divide it among them.

Through what gives the same for all images nothing flows: networks of positions, or what reads a learned dictionary
before images have changed it. Such layers have no conductance, and no share of layers counts them.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def mask_attribute_conductance(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    mask_ratio: float = .5,
    steps: int = 16,
    patch_size: int = 1,
    generator: torch.Generator | None = None,
    layers: Sequence[str] | None = None,
) -> dict[str, float]:
    """The absolute conductance of each layer that images flow through, its mean over images.

    Args:
        network: (B, C, H, W) images to restored ones, in eval mode.
        images: (B, C, H, W) degraded images in [0, 1].
        targets: The true ones, of the shape of what the network gives.
        mask_ratio: The share of pixels that are hidden at the beginning of the path, that of the pre-training.
        steps: Of the path; in each, as many more pixels are shown. The integral is a sum of trapezoids.
        patch_size: Side of the squares that are hidden as one.
        generator: Draws the order in which pixels are shown.
        layers: Names of modules; all that have parameters of their own if None. Of a module that gives several tensors
            all of those count that follow from the image.

    Raises:
        ValueError: The network is in train mode, or ``steps`` is below 1.
    """
    if network.training:
        raise ValueError('the conductance is that of a network in eval mode: call eval() first')
    if steps < 1:
        raise ValueError(f'steps={steps}: give 1 or more')
    if layers is None:
        layers = [name for name, module in network.named_modules() if any(True for _ in module.parameters(False))]
    modules = {name: network.get_submodule(name) for name in layers}
    totals: dict[str, Tensor] = {}
    before: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with _parameters_at_rest(network):
        for visible in mask_path(images, mask_ratio, steps, patch_size, generator):
            now = _outputs_and_gradients(network, modules, images * visible, targets)
            for name, earlier in before.items():
                totals.setdefault(name, images.new_zeros(len(images)))
                for (y0, g0), (y1, g1) in zip(earlier, now[name], strict=True):
                    totals[name] += _by_image((y1 - y0) * (g0 + g1) / 2, len(images))
            before = now
    return {name: total.abs().mean().item() for name, total in totals.items()}


def chosen_layers(conductances: Mapping[str, float], share: float) -> list[str]:
    """The share of layers with the largest conductance, in the order of the network.

    Raises:
        ValueError: The share is not above 0 and up to 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f'share={share}: give a number above 0 and up to 1')
    count = max(1, round(share * len(conductances)))
    best = set(sorted(conductances, key=conductances.__getitem__, reverse=True)[:count])
    return [name for name in conductances if name in best]


def mask_path(
    images: Tensor,
    mask_ratio: float,
    steps: int,
    patch_size: int = 1,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """``steps`` + 1 maps (B, 1, H, W) of what is visible, 1 or 0: from the masked images to the whole ones."""
    count, _, height, width = images.shape
    grid = -(-height // patch_size), -(-width // patch_size)
    order = torch.stack([torch.randperm(grid[0] * grid[1], generator=generator) for _ in range(count)])
    order = (order.view(count, 1, *grid).to(images.device) + .5) / (grid[0] * grid[1])  # when each is shown, in (0, 1)
    order = order.repeat_interleave(patch_size, 2).repeat_interleave(patch_size, 3)[..., :height, :width]
    for step in range(steps + 1):
        yield (order < 1 - mask_ratio * (1 - step / steps)).to(images.dtype)


def _outputs_and_gradients(
    network: nn.Module,
    modules: Mapping[str, nn.Module],
    images: Tensor,
    targets: Tensor,
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """What each module makes of images, as often as it is called, and the gradient of the error with respect to that.

    Parameters are at rest: what requires a gradient follows from the image. Modules that give no such are left out.
    """
    outputs: dict[str, list[Tensor]] = {name: [] for name in modules}

    def keep(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            if output.requires_grad:
                outputs[name].append(output)
        elif isinstance(output, Mapping):
            keep(name, list(output.values()))
        elif isinstance(output, list | tuple):
            for each in output:
                keep(name, each)

    hooks = [module.register_forward_hook(lambda _module, _given, output, name=name: keep(name, output))
             for name, module in modules.items()]
    try:
        with torch.enable_grad():
            restored = network(images.detach().requires_grad_())
            error = (restored - targets).abs().flatten(1).mean(1).sum()  # images do not see each other
    finally:
        for hook in hooks:
            hook.remove()
    flat = [output for each in outputs.values() for output in each]
    gradients = iter(torch.autograd.grad(error, flat, allow_unused=True))
    return {name: [(output.detach(), torch.zeros_like(output) if gradient is None else gradient)
                   for output, gradient in zip(each, gradients)]  # noqa: B905 the iterator goes on to the next name
            for name, each in outputs.items() if each}


@contextmanager
def _parameters_at_rest(network: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient within."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _by_image(values: Tensor, count: int) -> Tensor:
    """Sums (B,) of the values of each image; windows of an image lie one after the other in the batch."""
    return values.reshape(count, -1).sum(1)

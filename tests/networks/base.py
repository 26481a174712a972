"""What every network of every task keeps to, checked on tiny ones: a row of options says how one is built.

A check that a network cannot pass is switched off in its row, with the reason.
"""
from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from randomised import randomise
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.base import Network

SIZES = ((50, 90), (37, 101), (96, 33))  # height and width, none a whole number of patches on both sides
DYNAMIC = torch.export.Dim.DYNAMIC


def vit(**options: Any) -> PlainViT:
    """A plain ViT of two blocks."""
    return PlainViT(**{**dict(embed_dim=32, depth=2, num_heads=2, patch_size=16, img_size=64), **options})


def pyramid(**options: Any) -> TimmPyramid:
    """Maps of strides 4 to 32 of a tiny ConvNeXt."""
    return TimmPyramid('convnext_atto', depths=(1, 1, 1, 1), dims=(8, 12, 16, 20), **options)


@dataclass
class Row:
    """How a tiny network is built and which checks it passes.

    Attributes:
        backbone: A backbone of the options that are given, among them ``frozen_stages``.
        options: Further arguments of the network.
        traced: What replaces some of them where a graph is made, which takes longer than it runs.
        compiles: True, or why the network is not compiled.
        exports: True, or why it is not exported.
        still: Parameters whose gradient is rightly zero.
    """
    backbone: Callable[..., nn.Module]
    options: dict[str, Any] = field(default_factory=dict)
    traced: dict[str, Any] = field(default_factory=dict)
    compiles: bool | str = True
    exports: bool | str = True
    still: tuple[str, ...] = ()

    def build(self, network: type[Network], *arguments: Any, seed: int = 0, traced: bool = False,
              **backbone: Any) -> Network:
        """A network with random values everywhere, so that no gate which starts at zero hides an error."""
        torch.manual_seed(seed)
        options = {**self.options, **self.traced} if traced else self.options
        options = {key: value() if callable(value) else value for key, value in options.items()}
        return randomise(network(self.backbone(**backbone), *arguments, **options), seed)


def images_of(size: Sequence[int], count: int = 2) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(sum(size)))


def answer(network: Callable[[Tensor], Any], images: Tensor) -> list[Tensor]:
    """The tensors of the network's prediction, or of the last one of a list."""
    found = network(images)
    return [part for part in tree_leaves(found[-1] if isinstance(found, list) else found) if part is not None]


def assert_near(ours: Sequence[Tensor], theirs: Sequence[Tensor], share: float = 1e-3) -> None:
    """Within a share of the deviation, or of 1 where the values hardly differ."""
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=share * max(1., b.std().item()))


@torch.no_grad()
def check_any_size(network: Network) -> None:
    """An answer for images of an odd size covers them, is finite, and does not depend on the rest of the batch."""
    network.eval()
    for size in SIZES:
        batch = images_of(size, 3)
        together, alone = answer(network, batch), answer(network, batch[1:2])
        assert all(part.isfinite().all() for part in together)
        assert_near([part[0] for part in alone], [part[1] for part in together])
        cells = together[0].shape[-2:]
        padded = [-(-side // network.size_divisor) * network.size_divisor for side in size]
        stride = max(padded) / max(cells)
        assert all(side / stride <= count <= full / stride + 1
                   for side, full, count in zip(size, padded, cells, strict=True))


def check_frozen(network: Network, learn: Callable[[Network], None]) -> None:
    """What is frozen gets no gradient and stays in eval mode; all the rest learns."""
    learn(network.train())
    frozen = {name for name, parameter in network.backbone.named_parameters() if not parameter.requires_grad}
    assert frozen and frozen == {name for name, parameter in network.backbone.named_parameters()
                                 if (network.backbone.stage_index(name) or 0) <= network.backbone.frozen_stages}
    unreached = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert unreached == {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


def check_every_parameter_learns(
    network: Network,
    learn: Callable[[Network], None],
    still: Sequence[str] = (),
) -> None:
    """One training step reaches every parameter: distributed training waits for each of them."""
    learn(network.train())
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not [name for name, parameter in parameters.items() if parameter.grad is None]
    assert all(parameter.grad.isfinite().all() for parameter in parameters.values())
    assert [name for name, parameter in parameters.items() if not parameter.grad.any()] == list(still)


@torch.no_grad()
def check_saved_and_loaded(network: Network, other: Network) -> None:
    """Another network gives the same answer with the values of the first, read as data alone."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    before = answer(other.eval(), images_of(SIZES[0]))
    other.load_state_dict(torch.load(file, weights_only=True))
    expected = answer(network.eval(), images_of(SIZES[0]))
    assert not all(map(torch.equal, before, expected))
    assert all(map(torch.equal, answer(other, images_of(SIZES[0])), expected))


@torch.no_grad()
def check_compiles(network: Network, sizes: Sequence[tuple[int, int]] = ((64, 96), (96, 160))) -> None:
    """One graph without a break, at sizes that it was not traced with; what it is made into is PyTorch's business."""
    network.eval()
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend='eager')
    for size in sizes:
        assert_near(answer(compiled, images_of(size)), answer(network, images_of(size)))


@torch.no_grad()
def check_exports(network: Network, sizes: Sequence[tuple[int, int]] = ((64, 64), (131, 95))) -> None:
    """An exported program with open batch, height and width equals the network at other sizes."""
    network.eval()
    program = torch.export.export(network, (images_of((80, 112)), ), strict=False,
                                  dynamic_shapes=({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC}, )).module()
    for count, size in enumerate(sizes, 1):
        images = images_of(size, count)
        assert_near(answer(program, images), answer(network, images))

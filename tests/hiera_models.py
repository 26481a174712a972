"""Tiny Hieras, and official state dicts in the order in which official code registers its parameters."""
from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import torch
from official import fill
from torch import Tensor, nn

from densevit.backbones import Hiera, HieraDet

SIZES: dict[str, Any] = dict(embed_dim=16, num_heads=1, stages=(1, 2, 3, 1))
SAM2: dict[str, Any] = dict(SIZES, global_att_blocks=(4, ), window_spec=(8, 4, 14, 7))
HIERA: dict[str, Any] = dict(SIZES, img_size=(64, 96))


def hiera_det(**kwargs: Any) -> HieraDet:
    return HieraDet(**{**SAM2, **kwargs})


def hiera(**kwargs: Any) -> Hiera:
    return Hiera(**{**HIERA, **kwargs})


def official_state(model: Hiera | HieraDet) -> dict[str, Tensor]:
    """What ``fill`` gives the official network of the same sizes, without that code."""
    state = {name: torch.empty_like(tensor) for name, tensor in model.trunk.state_dict().items()}
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        blocks.setdefault('.'.join(name.split('.')[:2]) if name.startswith('blocks') else '', {})[name] = tensor
    ordered = {}
    for part in blocks.values():  # the projection of a shortcut is registered last
        ordered.update(sorted(part.items(), key=lambda item: re.match(r'blocks\.\d+\.proj\.', item[0]) is not None))
    if isinstance(model, HieraDet):
        ordered = {re.sub(r'mlp\.fc([12])', lambda match: f'mlp.layers.{int(match[1]) - 1}', name): tensor
                   for name, tensor in ordered.items()}
    else:
        width = model.out_channels[-1]
        ordered.update({'norm.weight': torch.empty(width), 'norm.bias': torch.empty(width),
                        'head.projection.weight': torch.empty(1000, width), 'head.projection.bias': torch.empty(1000)})
    return fill(SimpleNamespace(state_dict=lambda: ordered))


def wide(height: int, width: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def same_tensors(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def compiled_graphs(model: nn.Module, sizes: list[tuple[int, int]]) -> int:
    """Graphs that ``torch.compile`` makes of a model with dynamic shapes, whose outputs are compared with its own."""
    count = 0

    def backend(graph: torch.fx.GraphModule, inputs: list) -> Any:
        nonlocal count
        count += 1
        return graph.forward
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for size in sizes:
        images = wide(*size)
        for ours, eager in zip(compiled(images), model(images), strict=True):
            torch.testing.assert_close(ours, eager)
    return count

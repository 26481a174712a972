"""Maps of a backbone that a neck leaves out, though the backbone has parameters for them alone."""
from __future__ import annotations

from torch import nn

from ..adapters import SimpleFeaturePyramid
from ..adapters.interacting import InteractingAdapter
from ..backbones import Backbone


def unread_maps(backbone: Backbone, name: str, neck: nn.Module) -> str | None:
    """What to say of parameters that get no gradient: ``DistributedDataParallel`` refuses to train with such.

    Args:
        backbone: The backbone.
        name: Of the neck in its model: ``'neck'``, ``'neck.0'``.
        neck: The neck, whose ``start_level`` and ``backbone_end_level`` tell which maps it reads.

    Returns:
        One line with the remedy; None if the neck reads all maps that have trainable parameters of their own.
    """
    count = len(backbone.strides)
    start, stop = getattr(neck, 'start_level', 0), getattr(neck, 'backbone_end_level', count)
    read = range(count)[start:stop]
    parts = [_own_part(backbone, index) for index in range(count)]
    read_parts = {id(parts[index]) for index in read}
    without = [str(index) for index, part in enumerate(parts) if part is not None and id(part) not in read_parts
               and any(parameter.requires_grad for parameter in part.parameters())]
    if not read or not without:
        return None
    channels = [backbone.out_channels[index] for index in read]
    settings = [f'model.backbone.{_levels(backbone, read)}', f'model.{name}.in_channels={channels}']
    settings += [f'model.{name}.start_level=0'] if start else []
    settings += [f'model.{name}.end_level=-1'] if stop < count else []
    maps = f'map {read[0]}' if len(read) == 1 else f'maps {read[0]} to {read[-1]}'
    return (f'{type(neck).__name__} reads {maps} of densevit.{type(backbone).__name__} alone; parameters of '
            f'{"map" if len(without) == 1 else "maps"} {", ".join(without)} get no gradient, which '
            f'DistributedDataParallel refuses: set {", ".join(settings[:-1])} and {settings[-1]}')


def _own_part(backbone: Backbone, index: int) -> nn.Module | None:
    """A part that no other map needs, or, of the top block of a simple pyramid, the map below it alone."""
    if isinstance(backbone, SimpleFeaturePyramid):
        return backbone.levels[min(index, len(backbone.levels) - 1)]
    if isinstance(backbone, InteractingAdapter):
        return getattr(backbone, f'norm{backbone.out_indices[index] + 1}')
    norms = getattr(backbone, 'norms', ())
    return norms[index] if norms else None


def _levels(backbone: Backbone, read: range) -> str:
    """The setting that builds some of the maps alone."""
    if isinstance(backbone, SimpleFeaturePyramid):
        strides = [backbone.strides[index] for index in read if index < len(backbone.levels)]
        return f'scale_factors={tuple(backbone.vit.stride / stride for stride in strides)}'
    return f'out_indices={tuple(backbone.out_indices[index] for index in read)}'

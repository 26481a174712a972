"""Networks built around backbones, from configs."""
from __future__ import annotations

from typing import Any

from ..networks.base import Network
from ..registry import MODELS


def build_network(head: dict[str, Any], backbone: dict[str, Any] | None, num_classes: int | None = None) -> Network:
    """Build a network around a backbone.

    What ``head`` holds as ``dict(type=..., backbone=dict(...))``, such as the proposer of ViT-P, is a network of its
    own and is built first, with as many classes unless it says how many.

    Args:
        head: Config of the network (``dict(type='densevit.EoMT', ...)``).
        backbone: Config of its backbone (``dict(type='densevit.PlainViT', ...)``); None for a network without one,
            which gets no such argument.
        num_classes: The number of classes; None for networks that have none, which get no such argument.
    """
    nested = {
        name: build_network(value, value['backbone'], value.get('num_classes', num_classes))
        for name, value in head.items() if isinstance(value, dict) and {'type', 'backbone'} <= value.keys()
    }
    trunk = {} if backbone is None else dict(backbone=MODELS.build(backbone))
    classes = {} if num_classes is None else dict(num_classes=num_classes)
    return MODELS.build({**head, **nested, **trunk, **classes})

"""What networks of all tasks share: a backbone, how images are padded for them, and which loss teaches them."""
from __future__ import annotations

from typing import ClassVar

from torch import nn

from ..backbones.contract import Backbone


class Network(nn.Module):
    """A network around a backbone, in plain PyTorch.

    Args:
        backbone: Gives tokens or maps of normalised (B, 3, H, W) images. None for a network that is a whole
            architecture, which then says its ``size_divisor`` itself.

    Attributes:
        loss_class: The module that compares what the network returns in train mode with the targets of a batch. A model
            builds it with the options of ``criterion=dict(...)``.
        class_parts: Names of parts, anywhere in the network, whose sizes follow from the number of classes. Fine-tuning
            on other classes begins with new ones; networks without classes have none.
    """
    loss_class: ClassVar[type[nn.Module]]
    class_parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def size_divisor(self) -> int:
        """Images are padded to whole multiples of it, so that what is predicted covers all of the image."""
        return max(self.backbone.strides)

    def is_of_classes(self, name: str) -> bool:
        """Whether a parameter belongs to one of the ``class_parts``."""
        return any(f'.{part}.' in f'.{name}' for part in self.class_parts)

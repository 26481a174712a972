"""The second stage of training: images that look right rather than such that are near in the mean."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor

from ...networks.restoration.discriminator import UNetDiscriminator
from ...networks.restoration.perceptual import PerceptualLoss
from ...registry import MODELS
from .preprocessor import to_unit
from .restorer import Restorer


@MODELS.register_module()
class AdversarialRestorer(Restorer):
    """A restorer that is also taught by features of a VGG and by a discriminator that learns beside it (Real-ESRGAN).

    Begin with the weights of a first stage (``--load-from``). Network and discriminator take their steps at the same
    time, with one optimizer: neither has a gradient from the other's loss. Gradients should not be clipped by a norm of
    both together. Of a network that fills holes, the VGG and the discriminator are shown images whose holes it filled.

    Args:
        head, backbone, criterion, test_cfg, data_preprocessor, init_cfg: As :class:`Restorer` has them.
        discriminator: Options of :class:`densevit.networks.restoration.discriminator.UNetDiscriminator`.
        perceptual: Options of :class:`densevit.networks.restoration.perceptual.PerceptualLoss`; None for none.
        perceptual_weight: Weight of its loss; 1 in Real-ESRGAN, as of the pixels' loss.
        adversarial_weight: Weight of the network's loss against the discriminator; .1 in Real-ESRGAN.
    """

    def __init__(
        self,
        head: dict[str, Any],
        backbone: dict[str, Any] | None = None,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        discriminator: dict[str, Any] | None = None,
        perceptual: dict[str, Any] | None = None,
        perceptual_weight: float = 1.,
        adversarial_weight: float = .1,
    ) -> None:
        super().__init__(head, backbone, criterion, test_cfg, data_preprocessor, init_cfg)
        self.discriminator = UNetDiscriminator(self.network.out_channels, **(discriminator or {}))
        self.perceptual = None if perceptual is None else PerceptualLoss(**perceptual)
        self.perceptual_weight, self.adversarial_weight = perceptual_weight, adversarial_weight

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of the network and, ``loss_discriminator``, of the discriminator."""
        restored = self.restore(inputs, data_samples)
        targets = torch.stack([to_unit(self.target(sample, restored)) for sample in data_samples])
        if self.network.takes_mask:
            holes = self.holes(inputs, data_samples)
            losses = dict(self.criterion(restored, targets, holes))
            restored = torch.where(holes, restored, inputs)
        else:
            losses = dict(self.criterion(restored, targets))
        if self.perceptual is not None:
            losses['loss_perceptual'] = self.perceptual_weight * self.perceptual(restored, targets)
        self.discriminator.requires_grad_(False)  # of this answer, the network learns alone
        losses['loss_adversarial'] = -self.adversarial_weight * F.logsigmoid(self.discriminator(restored)).mean()
        self.discriminator.requires_grad_(True)
        is_true, is_restored = self.discriminator(targets), self.discriminator(restored.detach())
        losses['loss_discriminator'] = -F.logsigmoid(is_true).mean() - F.logsigmoid(-is_restored).mean()
        return losses

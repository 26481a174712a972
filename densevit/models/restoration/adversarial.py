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
from .restorer import Restorer


@MODELS.register_module()
class AdversarialRestorer(Restorer):
    """A restorer that is also taught by features of a VGG and by a discriminator that learns beside it (Real-ESRGAN).

    Begin with the weights of a first stage (``--load-from``). Network and discriminator take their steps at the same
    time, with one optimizer: neither has a gradient from the other's loss. Gradients should not be clipped by a norm of
    both together. Of a network that fills holes, the VGG and the discriminator are shown images whose holes it filled.

    The VGG is read when a run begins. It is no part of checkpoints, of averaged weights, or of a model that predicts.

    Args:
        head, backbone, criterion, test_cfg, data_preprocessor, init_cfg: As :class:`Restorer` has them.
        discriminator: Options of :class:`densevit.networks.restoration.discriminator.UNetDiscriminator`.
        perceptual: Options of :class:`densevit.networks.restoration.perceptual.PerceptualLoss`; None for none.
        perceptual_weight: Weight of its loss; 1 in Real-ESRGAN, as of the pixels' loss.
        adversarial_weight: Weight of the network's loss against the discriminator; .1 in Real-ESRGAN.
        trained_layers: As :class:`Restorer` has it; the discriminator learns whatever it says.
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
        trained_layers: Sequence[str] | None = None,
    ) -> None:
        super().__init__(head, backbone, criterion, test_cfg, data_preprocessor, init_cfg, trained_layers)
        self.discriminator = UNetDiscriminator(self.network.out_channels, **(discriminator or {}))
        self._perceptual_options = perceptual
        self._perceptual: tuple[PerceptualLoss, ...] = ()  # a tuple, which hides it from what walks through modules
        self.perceptual_weight, self.adversarial_weight = perceptual_weight, adversarial_weight

    def init_weights(self) -> None:
        """Initialise as :class:`Restorer` does, and read the VGG, so that a run without its weights ends here.

        Raises:
            OSError: The weights of the VGG cannot be downloaded; the message says what to do.
        """
        super().init_weights()
        self.perceptual(torch.device('cpu'))

    def perceptual(self, device: torch.device) -> PerceptualLoss | None:
        """The loss of the features of a VGG, on a device; None if there is none."""
        if self._perceptual_options is None:
            return None
        if not self._perceptual:
            self._perceptual = (PerceptualLoss(**self._perceptual_options), )
        return self._perceptual[0].to(device)

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of the network and, ``loss_discriminator``, of the discriminator.

        Raises:
            ValueError: As :meth:`Restorer.loss` has it.
        """
        restored, targets = self.restored_and_true(inputs, data_samples)
        losses = dict(self.pixel_losses(restored, targets, data_samples))
        if self.network.takes_mask:
            restored = torch.where(self.holes(inputs, data_samples), restored, inputs)
        if (perceptual := self.perceptual(inputs.device)) is not None:
            # In bfloat16 the small differences of near images are lost in the features, and with them their gradient.
            with torch.autocast(inputs.device.type, enabled=False):
                losses['loss_perceptual'] = self.perceptual_weight * perceptual(restored.float(), targets)
        self.discriminator.requires_grad_(False)  # of this answer, the network learns alone
        losses['loss_adversarial'] = self.adversarial_weight * self._seems(restored, true=True)
        self.discriminator.requires_grad_(True)
        losses['loss_discriminator'] = self._seems(targets, true=True) + self._seems(restored.detach(), true=False)
        return losses

    def _seems(self, images: Tensor, true: bool) -> Tensor:
        """The mean cross-entropy of the discriminator's answer and of what it should be."""
        logits = self.discriminator(images).float()
        return -F.logsigmoid(logits if true else -logits).mean()

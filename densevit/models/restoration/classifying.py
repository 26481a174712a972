"""Pre-training by telling degradations apart."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ...networks.restoration.degradation_classifier import DegradationClassifier, focal_loss
from ...networks.restoration.stages import Stage, outputs_of
from ...registry import MODELS
from .restorer import Restorer


@MODELS.register_module()
class ClassifyingRestorer(Restorer):
    """A restorer that is also taught to tell how an image was degraded (MaskDCPT, Hu et al., arXiv:2510.13282).

    The features of the later half of the network's stages go to a classifier (section IV-B), which is needed for
    pre-training alone: ``--load-from`` gives the network to a :class:`Restorer`. Images are restored as a whole, both
    behind a mask (``densevit.MaskPixels``) and beside it (equation 5). Samples tell their ``degradation``, a number
    from 0 on; ``densevit.OneOf`` and ``densevit.PackPair`` set it.

    The paper also keeps masked features at zero behind each convolution, by sparse ones; that is not done here.

    Args:
        head, backbone, criterion, test_cfg, data_preprocessor, init_cfg: As :class:`Restorer` has them.
        num_degradations: The number of kinds of degradation.
        classifier: Options of :class:`densevit.networks.restoration.degradation_classifier.DegradationClassifier`.
        pixel_weight: Weight of the loss of pixels; 1 in the paper.
        trained_layers: As :class:`Restorer` has it; the classifier learns whatever it says.

    Raises:
        ValueError: There are fewer than two kinds to tell apart.
    """

    def __init__(
        self,
        head: dict[str, Any],
        num_degradations: int,
        backbone: dict[str, Any] | None = None,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        classifier: dict[str, Any] | None = None,
        pixel_weight: float = 1.,
        trained_layers: Sequence[str] | None = None,
    ) -> None:
        super().__init__(head, backbone, criterion, test_cfg, data_preprocessor, init_cfg, trained_layers)
        self.num_degradations, self.pixel_weight = num_degradations, pixel_weight
        channels = [stage.channels for stage in self._stages()]
        self.classifier = DegradationClassifier(channels, num_degradations, **(classifier or {}))

    def _stages(self) -> list[Stage]:
        stages = self.network.feature_stages()
        return stages[len(stages) // 2:]

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of all pixels and of the kinds, and the share of images whose kind was told.

        Raises:
            ValueError: A sample has no ``degradation``, or one that is out of range.
        """
        kinds = torch.tensor([self._kind(sample) for sample in data_samples], device=inputs.device)
        with outputs_of(self._stages()) as features:
            restored, targets = self.restored_and_true(inputs, data_samples)
        # What fills holes is told of them, and its loss weighs hidden and visible pixels by itself.
        fills = self.network.takes_mask
        of_pixels = self.pixel_losses(restored, targets, data_samples) if fills else self.criterion(restored, targets)
        logits = self.classifier(features)
        return dict(
            {name: self.pixel_weight * loss for name, loss in of_pixels.items()},
            loss_degradation=focal_loss(logits, kinds),
            degradation_accuracy=(logits.argmax(1) == kinds).float().mean())

    def _kind(self, sample: BaseDataElement) -> int:
        kind = sample.get('degradation')
        if kind is None or not 0 <= kind < self.num_degradations:
            told = 'is not told of which kind its degradation is' if kind is None else f'has degradation={kind}'
            raise ValueError(
                f"{sample.get('gt_path', 'an image')} {told}, and model.num_degradations={self.num_degradations}: "
                "degrade with one dict(type='densevit.OneOf') of as many choices, or number the kinds of pairs from 0 "
                "on by dict(type='densevit.PackPair', degradation=NUMBER)")
        return kind

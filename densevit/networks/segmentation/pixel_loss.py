"""The cross-entropy of class logits at every pixel."""
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import resize_bilinear
from .class_weights import per_weight, weights_of_classes


class PixelClassificationLoss(nn.Module):
    """Mean cross-entropy over labelled pixels, at the size of the labels.

    Args:
        num_classes: C.
        aux_weight: Weight of each auxiliary prediction; the answer has weight 1.
        class_weight: Weights of the classes, normalised as PyTorch does.
        label_smoothing: Share of the target that is spread over all classes.
        ignore_index: Label of pixels that belong to no class.

    Raises:
        ValueError: Class weights that are not C numbers.
    """

    def __init__(
        self,
        num_classes: int,
        aux_weight: float = .4,
        class_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.aux_weight, self.label_smoothing, self.ignore_index = aux_weight, label_smoothing, ignore_index
        weight = None if class_weight is None else weights_of_classes(
            class_weight, num_classes, 'class_weight', no_object=False)
        self.register_buffer('class_weight', weight, persistent=False)

    def forward(self, predictions: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """``loss_seg``, and ``aux0.loss_seg`` ... of auxiliary predictions.

        Args:
            predictions: Logits (B, C, h, w); the last is the network's answer.
            labels: (B, H, W), int64.
        """
        losses = {f'aux{index}.loss_seg': self.aux_weight * self._one(logits, labels)
                  for index, logits in enumerate(predictions[:-1])}
        return dict(losses, loss_seg=self._one(predictions[-1], labels))

    def _one(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = resize_bilinear(logits.float(), labels.shape[-2:])
        total = F.cross_entropy(logits, labels, self.class_weight, ignore_index=self.ignore_index, reduction='sum',
                                label_smoothing=self.label_smoothing)
        seen = labels[labels != self.ignore_index]
        count = seen.numel() if self.class_weight is None else self.class_weight[seen].sum()
        return per_weight(total, count)

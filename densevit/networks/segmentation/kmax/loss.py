"""The losses of k-means Mask Transformer (arXiv:2207.04044), most of them MaX-DeepLab's (2012.00759)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....layers.matching import hungarian_match
from ..class_weights import check_loss_weight, weights_of_classes
from ..mask_types import MaskTarget
from .decoder import KMaXPrediction
from .remax import relax_labels

_TEMPERATURE = .3  # of instance discrimination
_POSITIVE = .75  # weight of losses of matched queries against that of unmatched ones
_EPS = 1e-5


class Wanted(NamedTuple):
    """The targets of a batch in the order of the queries.

    Attributes:
        masks: (B, Q, h, w), whose sum is 1 at labelled pixels and 0 at others.
        labels: (B, Q), C for "no object".
        mask_weight: (B, Q), the probability of the right class; 0 of queries without a segment.
        class_weight: (B, Q), how well the mask fits.
        void: (B, h, w), pixels without a label.
        semantic: (B, h, w), classes, C where there is none.
        rarity: (B, h, w), one over the area of a pixel's segment as a share of the image.
    """
    masks: Tensor
    labels: Tensor
    mask_weight: Tensor
    class_weight: Tensor
    void: Tensor
    semantic: Tensor
    rarity: Tensor


class KMaXLoss(nn.Module):
    """Losses of masks that compete for pixels, under a match that maximises panoptic quality.

    A query and a segment are as similar as the dice coefficient of their masks times the query's probability of the
    segment's class; each of the two factors weighs the loss of the other.

    Args:
        num_classes: C.
        class_weight, dice_weight, mask_weight, pixel_weight, semantic_weight: Weights of the classes' cross-entropy,
            the masks' dice loss, the pixels' cross-entropy over queries, instance discrimination and semantic
            segmentation.
        min_weight: Least of the factors that weigh the losses.
        share_match: Teach all predictions with the match of the last.
        pixel_samples, pixel_temperature: Pixels for instance discrimination; those of small segments are drawn the more
            often the higher the temperature.
        semantic_samples, semantic_temperature: Pixels for the semantic cross-entropy, drawn in the same way.
        eta: ReMaX's ReClass (arXiv:2306.17319): how far class labels are relaxed; the paper uses 0.1.
        class_weights: C + 1 factors of the classes' and the semantic cross-entropy, of each class and, as the last, of
            "no object"; None for 1 each.

    Raises:
        ValueError: Class weights that are not C + 1 numbers.
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 3.,
        dice_weight: float = 3.,
        mask_weight: float = .3,
        pixel_weight: float = 1.,
        semantic_weight: float = 1.,
        min_weight: float = 1e-5,
        share_match: bool = True,
        pixel_samples: int = 4096,
        pixel_temperature: float = 1.5,
        semantic_samples: int = 4096,
        semantic_temperature: float = 2.,
        eta: float = 0.,  # ReClass is off
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_loss_weight(class_weight)
        weight = None if class_weights is None else weights_of_classes(
            class_weights, num_classes, 'class_weights', no_object=True)
        self.register_buffer('class_weights', weight, persistent=False)
        self.num_classes, self.min_weight, self.share_match, self.eta = num_classes, min_weight, share_match, eta
        self.weights = dict(loss_cls=class_weight, loss_mask=mask_weight, loss_dice=dice_weight,
                            loss_pixel=pixel_weight, loss_semantic=semantic_weight)
        self.pixel_samples, self.pixel_temperature = pixel_samples, pixel_temperature
        self.semantic_samples, self.semantic_temperature = semantic_samples, semantic_temperature

    def forward(self, predictions: Sequence[KMaXPrediction], targets: Sequence[MaskTarget]) -> dict[str, Tensor]:
        """Weighted losses ``loss_cls``, ``loss_mask``, ``loss_dice``, ``loss_pixel`` and ``loss_semantic``.

        Those of earlier predictions are named ``d0.loss_cls`` and so on.

        Args:
            predictions: From first to last, all of one size; the last is the network's answer.
            targets: One for each image.
        """
        answer = predictions[-1]
        losses = {}
        with torch.autocast(answer.masks.device.type, enabled=False):
            targets = [_seen_at(target, answer.masks.shape[-2:]) for target in targets]
            shared = self.wanted(_single(answer), targets) if self.share_match else None
            for index, prediction in enumerate(predictions):
                prefix = '' if index == len(predictions) - 1 else f'd{index}.'
                prediction = _single(prediction)
                wanted = shared or self.wanted(prediction, targets)
                for name, loss in self._one(prediction, wanted).items():
                    losses[prefix + name] = self.weights[name] * loss
        return losses

    def _one(self, prediction: KMaXPrediction, wanted: Wanted) -> dict[str, Tensor]:
        masks = prediction.masks if prediction.relaxed is None else prediction.relaxed
        losses = dict(
            loss_cls=self._class_loss(prediction, wanted),
            loss_mask=_mean_of_positive(F.cross_entropy(masks, wanted.masks, reduction='none') * ~wanted.void),
            loss_dice=_dice_loss(masks, wanted),
            loss_pixel=self._pixel_loss(prediction.pixels, wanted))
        if prediction.semantic is not None:
            losses['loss_semantic'] = self._semantic_loss(prediction.semantic, wanted)
        return losses

    @torch.no_grad()
    def wanted(self, prediction: KMaXPrediction, targets: Sequence[MaskTarget]) -> Wanted:
        """Segments in the order of the queries that they are matched with.

        Args:
            prediction: A prediction for a batch of images.
            targets: Segments of each image, at the size of the masks.
        """
        logits = prediction.masks if prediction.relaxed is None else prediction.relaxed
        probs = logits.softmax(1)
        masks, mask_weight = torch.zeros_like(probs), torch.zeros_like(probs[:, :, 0, 0])
        labels = torch.full_like(mask_weight, self.num_classes, dtype=torch.long)
        semantic = torch.full_like(probs[:, 0], self.num_classes, dtype=torch.long)
        fits: list[tuple[Tensor, Tensor]] = []
        for image, target in enumerate(targets):
            dice, right = _similarities(probs[image], prediction.classes[image], target)
            queries, segments = hungarian_match(dice * right, maximize=True)
            fits.append((queries, dice[queries, segments]))
            masks[image, queries] = target.masks[segments]
            labels[image, queries] = target.labels[segments]
            mask_weight[image, queries] = right[queries, segments].clamp(min=self.min_weight)
            if len(target.labels):
                inside, first = target.masks.max(0)
                semantic[image] = torch.where(inside > 0, target.labels[first], self.num_classes)
        void = masks.sum(1) == 0
        # A query without a segment is the more "no object" the more of it lies where nothing is labelled.
        class_weight = (probs * void.unsqueeze(1)).sum((2, 3)) / (probs.sum((2, 3)) + _EPS)
        for row, (queries, dice) in zip(class_weight, fits, strict=True):
            row[queries] = dice
        masks = masks / masks.sum(1, keepdim=True).clamp(min=1.)  # segments of instances may overlap
        area = torch.einsum('bqhw,bq->bhw', masks, masks.sum((2, 3)))
        rarity = void[0].numel() / area.clamp(min=1.)
        return Wanted(masks, labels, mask_weight, class_weight.clamp(min=self.min_weight), void, semantic, rarity)

    def _class_loss(self, prediction: KMaXPrediction, wanted: Wanted) -> Tensor:
        labels = F.one_hot(wanted.labels, self.num_classes + 1).to(prediction.classes)
        if self.eta:
            semantic = F.one_hot(wanted.semantic, self.num_classes + 1)[..., :-1].movedim(-1, 1).to(labels)
            labels = relax_labels(labels, prediction.masks, semantic, self.eta)
        loss = F.cross_entropy(prediction.classes.transpose(1, 2), labels.transpose(1, 2), self.class_weights,
                               reduction='none')
        positive = torch.where(wanted.labels < self.num_classes, _POSITIVE, 1 - _POSITIVE)
        return _mean_of_positive(loss * positive * wanted.class_weight)

    def _pixel_loss(self, pixels: Tensor, wanted: Wanted) -> Tensor:
        """Pixels of a segment attract and others repel each other."""
        chosen = self._sample(wanted, self.pixel_samples, self.pixel_temperature)
        same = _take(wanted.masks, chosen)
        same = torch.einsum('bqk,bqj->bkj', same, same)
        same = same / same.sum(1, keepdim=True).clamp(min=1.)
        pixels = _take(pixels, chosen)
        return _mean_of_positive(F.cross_entropy(
            torch.einsum('bdk,bdj->bkj', pixels, pixels) / _TEMPERATURE, same, reduction='none'))

    def _semantic_loss(self, logits: Tensor, wanted: Wanted) -> Tensor:
        chosen = self._sample(wanted, self.semantic_samples, self.semantic_temperature)
        labels = _take(wanted.semantic.unsqueeze(1), chosen).squeeze(1)
        return _mean_of_positive(
            F.cross_entropy(_take(logits, chosen), labels, self.class_weights, ignore_index=self.num_classes,
                            reduction='none')
            * (labels < self.num_classes))

    @staticmethod
    def _sample(wanted: Wanted, count: int, temperature: float) -> Tensor:
        """Indices (B, K) of labelled pixels, drawn without replacement with odds ``rarity ** temperature``."""
        odds = wanted.rarity.flatten(1).log() * temperature
        odds = odds.masked_fill(wanted.void.flatten(1), -99999.)
        noise = -torch.log(-torch.log(torch.rand_like(odds)))
        return (odds + noise).topk(min(count, odds.shape[1])).indices


def _single(prediction: KMaXPrediction) -> KMaXPrediction:
    """In single precision: rounding would decide matches."""
    return KMaXPrediction(*(None if part is None else part.float() for part in prediction))


def _seen_at(target: MaskTarget, size: tuple[int, int]) -> MaskTarget:
    """Segments of which a pixel is left on a smaller map (h, w): a query could only learn an empty mask of others."""
    masks = _at_size(target.masks, size)
    seen = masks.flatten(1).any(1)
    return MaskTarget(target.labels[seen], masks[seen])


def _at_size(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Segments (n, H, W) at the pixels of a smaller map (h, w): those at its pixels' centres."""
    sides = list(zip(masks.shape[-2:], size, strict=True))
    steps = [(full - 1) // max(small - 1, 1) for full, small in sides]
    if all(full % 2 and (small - 1) * step == full - 1 for (full, small), step in zip(sides, steps, strict=True)):
        return masks[:, ::steps[0], ::steps[1]].float()  # corner pixels lie on each other
    return F.interpolate(masks.unsqueeze(1).float(), size, mode='nearest-exact').squeeze(1)


def _similarities(probs: Tensor, classes: Tensor, target: MaskTarget) -> tuple[Tensor, Tensor]:
    """Dice coefficients of masks and probabilities of the right classes, both (Q, n), of one image."""
    segments = target.masks.flatten(1)
    probs = probs.flatten(1) * (segments.sum(0) > 0)
    dice = probs @ segments.T / ((probs.sum(1)[:, None] + segments.sum(1)) / 2 + _EPS)
    return dice, classes.softmax(-1)[:, target.labels]


def _dice_loss(masks: Tensor, wanted: Wanted) -> Tensor:
    probs = masks.softmax(1) * ~wanted.void.unsqueeze(1)
    overlap = (probs * wanted.masks).sum((2, 3))
    loss = 1. - (2. * overlap + 1.) / (probs.sum((2, 3)) + wanted.masks.sum((2, 3)) + 1.)
    return _POSITIVE * (loss * wanted.mask_weight).mean()


def _mean_of_positive(loss: Tensor) -> Tensor:
    """Mean over the entries of each image that are not 0, then over images."""
    loss = loss.flatten(1)
    return (loss.sum(1) / (loss != 0).sum(1).clamp(min=1)).mean()


def _take(maps: Tensor, indices: Tensor) -> Tensor:
    """(B, C, h, w) at pixels (B, K): (B, C, K)."""
    return maps.flatten(2).gather(2, indices.unsqueeze(1).expand(-1, maps.shape[1], -1))

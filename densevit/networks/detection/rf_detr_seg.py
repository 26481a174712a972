"""RF-DETR-Seg (arXiv:2511.09554): LW-DETR whose queries also have masks, products with a finer map."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import sample_points, uncertain_points
from ...layers.mask_losses import dice_loss, pairwise_bce, pairwise_dice
from .base import BoxPrediction, MaskFactors
from .lw_detr import LWDETR
from .set_loss import BoxSetLoss, BoxTarget, Pairs


class InstanceSetLoss(BoxSetLoss):
    """:class:`BoxSetLoss` with binary cross-entropy and dice of masks, at points (Mask2Former, arXiv:2112.01527).

    Args:
        num_classes: The number of classes C.
        mask_weight, dice_weight: Weights of the two losses of masks, and of their costs in a match.
        point_share: Of so many pixels of a predicted mask, one point is compared.
        options: Further options of :class:`BoxSetLoss`.
    """

    def __init__(
        self,
        num_classes: int,
        mask_weight: float = 5.,
        dice_weight: float = 5.,
        point_share: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(num_classes, **options)
        self.mask_weight, self.dice_weight, self.point_share = mask_weight, dice_weight, point_share

    def costs(self, prediction: BoxPrediction, image: int, target: BoxTarget) -> Tensor:
        """Those of classes and boxes, and of masks at the same random points for all queries, (G, Q, n)."""
        factors = prediction.masks
        height, width = factors.features.shape[-2:]
        points = torch.rand(1, max(1, height * width // self.point_share), 2, device=factors.features.device)
        features = sample_points(factors.features[image:image + 1].float(), points)[0]  # (E, P)
        inside = nearest_at(target.masks[None], points)[0]  # (n, P)
        logits = factors.queries[image].float() @ features  # (G, Q, P)
        masks = (self.mask_weight * pairwise_bce(logits.flatten(0, 1), inside) +
                 self.dice_weight * pairwise_dice(logits.flatten(0, 1), inside))
        return super().costs(prediction, image, target) + masks.unflatten(0, logits.shape[:2])

    def sums(self, prediction: BoxPrediction, pairs: Pairs, targets: Sequence[BoxTarget]) -> dict[str, Tensor]:
        """Losses of classes, boxes and masks, the latter ``loss_mask`` and ``loss_dice``."""
        factors = prediction.masks
        losses = super().sums(prediction, pairs, targets)
        queries, images = factors.queries.float()[pairs.queries], pairs.queries[0]
        if not len(images):
            nothing = 0. * (factors.queries.sum() + factors.features.sum())
            return dict(losses, loss_mask=nothing, loss_dice=nothing)
        whole = factors._replace(features=factors.features.float())
        logits = torch.cat([whole.logits(image, queries[images == image]) for image in images.unique().tolist()])
        height, width = logits.shape[-2:]
        points = uncertain_points(logits.unsqueeze(1), max(height, height * width // self.point_share))
        masks = torch.cat([target.masks for target in targets])[pairs.objects]
        inside = nearest_at(masks.unsqueeze(1), points).squeeze(1)
        logits = sample_points(logits.unsqueeze(1), points).squeeze(1)  # (M, P)
        bce = F.binary_cross_entropy_with_logits(logits, inside, reduction='none').mean(1).sum()
        dice = dice_loss(logits, inside).sum()
        return dict(losses, loss_mask=self.mask_weight * bce, loss_dice=self.dice_weight * dice)


def nearest_at(masks: Tensor, points: Tensor) -> Tensor:
    """Masks (N, C, H, W) at points (N, P, 2), x and y in [0, 1]: (N, C, P), 0. or 1."""
    return F.grid_sample(masks.float(), 2. * points.unsqueeze(2) - 1., 'nearest', align_corners=False).squeeze(3)


class RFDETRSeg(LWDETR):
    """Boxes and masks of a plain ViT's maps.

    Args:
        backbone: Any with maps of one stride: a plain ViT with several ``out_indices``.
        num_classes: The number of classes C.
        mask_stride: The stride of the masks in pixels of the image.
        mask_hidden_dim: Hidden width of the layer between a query and its mask; four times its own by default.
        options: Further options of :class:`LWDETR`.
    """
    loss_class = InstanceSetLoss
    has_masks = True

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        mask_stride: int = 4,
        mask_hidden_dim: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(backbone, num_classes, **options)
        self.mask_scale = backbone.strides[0] / mask_stride
        self.mask_head = MaskHead(self.embed_dim, mask_hidden_dim or 4 * self.embed_dim, len(self.layers))

    def forward(self, images: Tensor) -> list[BoxPrediction]:
        """(B, 3, H, W) images to predictions: in train mode the proposals', then those of all layers."""
        found = self.decode(images)
        height, width = found.maps[0].shape[-2:]
        size = (round(height * self.mask_scale), round(width * self.mask_scale))
        features = F.interpolate(found.maps[0], size, mode='bilinear', align_corners=False)
        predictions = []
        if self.training:
            predictions.append(found.proposals._replace(masks=self.mask_head.read(found.chosen, features)))
        for index, (x, block) in enumerate(zip(found.layers, self.mask_head.blocks, strict=True)):
            features = block(features)
            if self.training or index == len(found.layers) - 1:
                predictions.append(self.read(x, found.references)._replace(masks=self.mask_head.read(x, features)))
        return predictions


class MaskHead(nn.Module):
    """Finer features, a block for each layer of the decoder, and what makes masks of queries.

    Args:
        dim: Width D of features and queries.
        hidden_dim: Hidden width of the layer between a query and its mask.
        num_blocks: Layers of the decoder.
    """

    def __init__(self, dim: int, hidden_dim: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FeatureBlock(dim) for _ in range(num_blocks))
        self.features = nn.Conv2d(dim, dim, kernel_size=1)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim))
        self.queries = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(1))

    def read(self, x: Tensor, features: Tensor) -> MaskFactors:
        """The masks of queries (B, G, Q, D) on features (B, D, h, w); the bias is a channel more."""
        features = self.features(features)
        queries = self.queries(x + self.mlp(self.norm(x)))
        bias = self.bias.to(queries.dtype).expand(*queries.shape[:-1], 1)
        return MaskFactors(torch.cat((queries, bias), dim=-1),
                           torch.cat((features, torch.ones_like(features[:, :1])), dim=1))


class FeatureBlock(nn.Module):
    """A depthwise convolution, a norm over channels, a linear layer and a GELU, with a way past them.

    Args:
        dim: Width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.norm = LayerNorm(dim, eps=1e-6)
        self.linear = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to the same."""
        y = F.gelu(self.linear(self.norm(self.conv(x).permute(0, 2, 3, 1))))
        return x + y.permute(0, 3, 1, 2)

"""ViT-P: The Missing Point in Vision Transformers for Universal Image Segmentation (arXiv:2505.19795)."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

from ....backbones import PlainViT, Tokens, pad_to_multiple
from ..base import MaskNetwork
from ..mask_types import MaskPrediction
from .points import PointClassificationLoss, peak_points


class PointProposals(NamedTuple):
    """The prediction of :class:`ViTP` in train mode: no masks, but a means to classify points.

    Attributes:
        masks: (B, 0, H, W).
        classes: (B, 0, C + 1).
        classify: (B, P, 2) points of the images to class logits (B, P, C).
        num_points: P that the network is to be trained with.
    """
    masks: Tensor
    classes: Tensor
    classify: Callable[[Tensor], Tensor]
    num_points: int


class ViTP(MaskNetwork):
    """ViT-P: masks of another network, classified anew by a plain ViT at one point each.

    In the place of its class token, the ViT has a token for each point: the class token plus a linear map of the
    point's coordinates; where the trunk has none, a constant. All tokens attend to each other as usual, and a linear
    layer classifies the points. In inference the point of a mask is where its logit is largest; the probabilities p of
    the proposer and q of the points, both without "no object", become p^(1 - alpha) q^alpha, normalised, and "no
    object" keeps the proposer's.

    A config gives it ``proposer_weights`` as well, see :class:`densevit.models.segmentation.vit_p.ViTPAroundWeights`.

    Since points attend to each other too, the network gets as many of them in inference as in training: a pass with
    fewer masks is filled up with points all over the image, as in the authors' code, where these are random; here they
    are the Sobol sequence's, always the same. The authors' code trains the class token's position alone and leaves the
    token itself out, so that their checkpoints are read with a class token of 0.

    Args:
        backbone: The classifier, a plain ViT without windows.
        num_classes: C.
        proposer: A trained network with the same classes. It is frozen, stays in eval mode and does not run in
            training. In a config, ``dict(type='densevit.EoMT', backbone=dict(...), ...)``.
        alpha: Share of the points in the class scores.
        image_size: (H, W) to which images are resized for the classifier, whatever their shape, as in the authors'
            code; None leaves them as they are.
        num_points: Points that are classified at once, in training as in inference; more masks take several passes. The
            paper's models use 100 to 250.

    Raises:
        TypeError: ``proposer`` is no mask network.
        ValueError: The proposer has other classes; the backbone has windows; ``alpha`` is not in [0, 1]; there is no
            point.
    """
    loss_class = PointClassificationLoss

    def __init__(
        self,
        backbone: PlainViT,
        num_classes: int,
        proposer: MaskNetwork,
        alpha: float = .4,
        image_size: tuple[int, int] | None = None,
        num_points: int = 250,
    ) -> None:
        super().__init__(backbone, num_classes)
        _check(backbone, num_classes, proposer, alpha, num_points)
        self.proposer = proposer.requires_grad_(False).eval()
        self.alpha, self.image_size, self.num_points = alpha, image_size, num_points
        self.register_buffer('fillers', 2. * SobolEngine(2).draw(num_points) - 1., persistent=False)
        # A constant in the place of a missing class token: norms would make points on a ray from the centre the same.
        self.point_embed = nn.Linear(2, backbone.embed_dim, bias=not backbone.has_class_token)
        self.class_head = nn.Linear(backbone.embed_dim, num_classes)
        for weights in (*self.point_embed.parameters(), self.class_head.weight):
            nn.init.trunc_normal_(weights, std=.02)
        nn.init.zeros_(self.class_head.bias)

    @property
    def size_divisor(self) -> int:
        classifier = self.backbone.stride if self.image_size is None else 1
        return classifier if self.training else math.lcm(classifier, self.proposer.size_divisor)

    def train(self, mode: bool = True) -> ViTP:
        super().train(mode)
        self.proposer.eval()
        return self

    @property
    def panoptic_reader(self) -> type:
        return self.proposer.panoptic_reader

    @property
    def masks_compete(self) -> bool:
        return self.proposer.masks_compete

    def sigmoid_logits(self, masks: Tensor) -> Tensor:
        return self.proposer.sigmoid_logits(masks)

    def is_of_classes(self, name: str) -> bool:
        of_proposer = name.removeprefix('proposer.')
        return super().is_of_classes(name) if of_proposer == name else self.proposer.is_of_classes(of_proposer)

    def forward(self, images: Tensor) -> list[MaskPrediction | PointProposals]:
        """The proposer's last masks with new class logits; in train mode only a :class:`PointProposals`."""
        images = pad_to_multiple(images, self.size_divisor)
        if self.training:
            nothing = images.new_zeros(images.shape[0], 0, self.num_classes + 1)
            return [PointProposals(images[:, :0], nothing, partial(self.classify, images), self.num_points)]
        with torch.no_grad():
            proposals = self.proposer(images)[-1]
        points = peak_points(self.sigmoid_logits(proposals.masks))
        tokens = self._embed(images)
        fillers = self.fillers[:-points.shape[1] % self.num_points].expand(points.shape[0], -1, -1)
        passes = torch.cat((points, fillers), dim=1).split(self.num_points, dim=1)
        logits = torch.cat([self._classify(tokens, few) for few in passes], dim=1)[:, :points.shape[1]]
        return [MaskPrediction(proposals.masks, self._combine(proposals.classes, logits))]

    def classify(self, images: Tensor, points: Tensor) -> Tensor:
        """Class logits (B, P, C) of points (B, P, 2), y and x from -1 to 1 over images (B, 3, H, W)."""
        return self._classify(self._embed(images), points)

    def _embed(self, images: Tensor) -> Tokens:
        if self.image_size is not None:
            images = F.interpolate(images, self.image_size, mode='bilinear', antialias=True)
        return self.backbone.embed(images)

    def _classify(self, tokens: Tokens, points: Tensor) -> Tensor:
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round points to several pixels
            embedded = self.point_embed(points.to(self.point_embed.weight.dtype)).to(tokens.x.dtype)
        if self.backbone.has_class_token:
            embedded = embedded + tokens.x[:, :1]
            # The last point takes the place of the class token, so that the trunk's count of prefix tokens holds.
            tokens = replace(tokens, x=torch.cat((embedded[:, -1:], tokens.x[:, 1:]), dim=1))
            tokens = tokens.prepend(embedded[:, :-1])
        else:
            tokens = tokens.prepend(embedded)
        tokens = self.backbone.norm(self.backbone.run(tokens))
        return self.class_head(tokens.x[:, :points.shape[1]])

    def _combine(self, proposed: Tensor, logits: Tensor) -> Tensor:
        """Logarithms of probabilities, (B, Q, C + 1), of the proposer's class logits and the points' (B, Q, C)."""
        proposed, logits = proposed.float(), logits.float()
        classes, nothing = proposed[..., :-1].log_softmax(-1), proposed.log_softmax(-1)
        mixed = ((1. - self.alpha) * classes + self.alpha * logits.log_softmax(-1)).log_softmax(-1)
        is_something = nothing[..., :-1].logsumexp(-1, keepdim=True)
        return torch.cat((mixed + is_something, nothing[..., -1:]), dim=-1)


def _check(backbone: PlainViT, num_classes: int, proposer: MaskNetwork, alpha: float, num_points: int) -> None:
    if not isinstance(proposer, MaskNetwork):
        raise TypeError('proposer is a network that predicts masks, or in a config its dict with type and backbone, '
                        f'not a {type(proposer).__name__}')
    if proposer.num_classes != num_classes:
        raise ValueError(f'ViTP has {num_classes} classes and its proposer {proposer.num_classes}: class scores of '
                         'both are combined, so give them the same classes')
    if backbone.windowed_blocks:
        raise ValueError('ViTP: the tokens of points attend to the whole image; leave out window_size, or set it to 0 '
                         'for a SAM trunk')
    if not 0. <= alpha <= 1.:
        raise ValueError(f'alpha={alpha}: the share of the points in the class scores is 0 to 1')
    if num_points < 1:
        raise ValueError(f'num_points={num_points}: masks are classified by one point at least')

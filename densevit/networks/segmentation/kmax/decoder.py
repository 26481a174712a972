"""The decoder of k-means Mask Transformer (arXiv:2207.04044): queries are cluster centres of pixels."""
from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import DropPath, trunc_normal_tf_
from torch import Tensor, nn

from .parts import ConvNorm, batch_norm, depthwise

_NO_OBJECT_PRIOR = .9
_MASK_SCALE = .1


class KMaXPrediction(NamedTuple):
    """A :class:`densevit.networks.segmentation.MaskPrediction` with what the loss needs besides.

    Attributes:
        masks: Logits, (B, Q, h, w), of which each pixel's softmax over the queries is taken.
        classes: Logits, (B, Q, C + 1); the last is "no object".
        pixels: Features of unit length, (B, D, h, w).
        semantic: Class logits of each pixel, (B, C, h, w) or with one more that is never right; None in most.
        relaxed: Masks to learn from in the place of ``masks``; None for the same.
    """
    masks: Tensor
    classes: Tensor
    pixels: Tensor
    semantic: Tensor | None = None
    relaxed: Tensor | None = None


class Predictor(nn.Module):
    """Masks as products of pixels of unit length with queries, and classes.

    Args:
        pixel_dim: Channels of the map.
        dim: Width of the queries; masks are products of vectors of half as many entries.
        num_classes: C.
    """

    def __init__(self, pixel_dim: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.pixel_head = nn.Sequential(
            *depthwise(pixel_dim, dim), ConvNorm(dim, dim // 2, bias=True, act=False, std=.01))
        self.mask_head = ConvNorm(dim, dim // 2, dims=1, act=False)
        self.class_head = nn.Conv1d(dim, num_classes + 1, 1)
        trunc_normal_tf_(self.class_head.weight, std=.01)
        nn.init.zeros_(self.class_head.bias)
        with torch.no_grad():
            self.class_head.bias[-1] = no_object_bias(num_classes)
        self.norm = batch_norm(1, 2, scale=_MASK_SCALE)

    def forward(self, pixels: Tensor, mask_queries: Tensor, class_queries: Tensor) -> KMaXPrediction:
        """Predict from pixels (B, pixel_dim, h, w) and queries (B, dim, Q) of masks and of classes."""
        pixels = F.normalize(self.pixel_head(pixels).float(), dim=1)
        masks = torch.einsum('bdhw,bdq->bqhw', pixels, self.mask_head(mask_queries).to(pixels.dtype))
        masks = self.norm(masks.flatten(2).unsqueeze(1)).squeeze(1).unflatten(2, masks.shape[-2:])
        return KMaXPrediction(masks, self.class_head(class_queries).transpose(1, 2), pixels)


def no_object_bias(num_classes: int) -> float:
    """The logit that gives "no object" a probability of 0.9 before anything is learned."""
    return math.log(num_classes * _NO_OBJECT_PRIOR / (1 - _NO_OBJECT_PRIOR))


class QueryAttention(nn.Module):
    """Self-attention of queries (B, D, Q), with batch norm where others scale the similarities."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.splits = num_heads, (dim // 2, dim // 2, dim)
        self.qkv = ConvNorm(dim, sum(self.splits), dims=1, act=False, std=dim**-.5)
        self.norm_similarity = batch_norm(num_heads, 2)
        self.norm_output = batch_norm(dim, 1)
        self.project = ConvNorm(dim, dim, dims=1, act=False, scale=0.)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(1, (self.num_heads, -1)) for part in self.qkv(x).split(self.splits, 1))
        weights = self.norm_similarity(torch.einsum('nhdl,nhdm->nhlm', q, k)).float().softmax(-1)
        output = torch.einsum('nhlm,nhdm->nhdl', weights.to(v.dtype), v).flatten(1, 2)
        return self.project(F.gelu(self.norm_output(output)))


class KMeansAttention(nn.Module):
    """Queries gather the pixels whose masks are theirs: (B, D, h, w) and masks (B, Q, h, w) to (B, D, Q).

    Cross-attention with an argmax over queries where others take the softmax over pixels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.value = ConvNorm(dim, dim, act=False, std=dim**-.5)
        self.norm = batch_norm(dim, 1)
        self.project = ConvNorm(dim, dim, dims=1, act=False, scale=0.)

    def forward(self, pixels: Tensor, masks: Tensor) -> Tensor:
        values = self.value(pixels).flatten(2)
        nearest = F.one_hot(masks.flatten(2).argmax(1), masks.shape[1])  # (B, h w, Q)
        with torch.autocast(values.device.type, enabled=False):  # a cluster may hold too many pixels for a half's sum
            gathered = values.float() @ nearest.float()
        return self.project(self.norm(gathered))


class KMaXLayer(nn.Module):
    """One step: pixels are assigned to queries, which move to their pixels' mean direction and attend to each other.

    Args:
        pixel_dim: Channels of the map.
        dim: D, of the queries.
        num_classes: C.
        num_heads: Heads of self-attention.
        drop_path: Share of dropped branches.
    """

    def __init__(self, pixel_dim: int, dim: int, num_classes: int, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.pixels = ConvNorm(pixel_dim, dim)
        self.queries = ConvNorm(dim, dim, dims=1)
        self.predict = Predictor(dim, dim, num_classes)
        self.kmeans = KMeansAttention(dim)
        self.attention = QueryAttention(dim, num_heads)
        self.ffn = nn.Sequential(
            ConvNorm(dim, 8 * dim, dims=1), ConvNorm(8 * dim, dim, dims=1, act=False, scale=0.))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, pixels: Tensor, queries: Tensor) -> tuple[Tensor, KMaXPrediction]:
        """Move queries (B, D, Q) by pixels (B, pixel_dim, h, w); also gives the assignment that they moved by."""
        pixels, inner = self.pixels(F.gelu(pixels)), self.queries(queries)
        prediction = self.predict(pixels, inner, inner)
        queries = queries + self.drop_path(self.kmeans(pixels, prediction.masks.detach()))
        queries = F.gelu(queries + self.drop_path(self.attention(inner)))
        return F.gelu(queries + self.drop_path(self.ffn(queries))), prediction

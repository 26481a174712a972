"""kMaX-DeepLab: k-means Mask Transformer (arXiv:2207.04044), optionally trained with ReMaX (arXiv:2306.17319)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import trunc_normal_tf_
from torch import Tensor, nn

from ....backbones.contract import Backbone
from ....layers import resize_bilinear
from ...pyramids import require_images, require_pyramid
from ..base import MaskNetwork
from .decoder import KMaXLayer, KMaXPrediction, Predictor
from .loss import KMaXLoss
from .parts import ConvNorm
from .pixel_decoder import Kind, KMaXPixelDecoder
from .postprocess import KMaXPanopticReader, competing_log_odds
from .remax import SemanticBranch, relax_masks
from .semantic import SemanticDecoder

_STRIDES = (4, 8, 16, 32)


class KMaXDeepLab(MaskNetwork):
    """k-means Mask Transformer: (B, 3, H, W) normalised images to masks that compete for pixels.

    Batch norms are everywhere, in attention too: give a distributed run ``sync_bn='torch'``, and a run on one device at
    least two images a batch.

    Args:
        backbone: Gives maps of strides 4, 8, 16 and 32.
        num_classes: C; the class heads have C + 1 outputs.
        num_queries: Q.
        hidden_dim: Width of the queries.
        num_layers: Decoder layers that read the map of stride 32, of 16 and of 8.
        num_heads: Heads of every attention.
        decoder_channels, decoder_depths, decoder_kinds: Width, number and kind of the pixel decoder's blocks on each
            level, coarsest first.
        pixel_drop_path, drop_path: Share of dropped branches in the pixel decoder and in the decoder.
        semantic: Learn semantic segmentation from the backbone's maps beside the masks.
        relax: ReMaX's ReMask in the first so many decoder layers; the paper uses 4. ReClass is the loss's ``eta``.
        corner_aligned: Take images of 32 k + 1 pixels on each side, whose maps have their corner pixels on each other,
            as the authors' networks do. Nothing pads images to such a size: the data has to. Predictions are resized
            without, which moves masks by up to 1.5 pixels at the borders.

    Raises:
        ValueError: The backbone's strides, or an option, do not fit.
    """
    loss_class = KMaXLoss
    panoptic_reader = KMaXPanopticReader
    class_parts = ('class_head', 'classify', 'semantic_decoder.head.2')

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        num_queries: int = 128,
        hidden_dim: int = 256,
        num_layers: Sequence[int] = (2, 2, 2),
        num_heads: int = 8,
        decoder_channels: Sequence[int] = (512, 256, 128, 64),
        decoder_depths: Sequence[int] = (1, 5, 1, 1),
        decoder_kinds: Sequence[Kind] = ('axial', 'axial', 'bottleneck', 'bottleneck'),
        pixel_drop_path: float = 0.,
        drop_path: float = 0.,
        semantic: bool = True,
        relax: int = 0,
        corner_aligned: bool = False,
    ) -> None:
        super().__init__(backbone, num_classes)
        require_pyramid(backbone, _STRIDES, 'KMaXDeepLab')
        _check(num_layers, relax, hidden_dim, num_heads)
        self.relax, self.corner_aligned = relax, corner_aligned
        widths = backbone.out_channels[::-1]
        self.pixel_decoder = KMaXPixelDecoder(
            widths, decoder_channels, decoder_depths, decoder_kinds, num_heads, pixel_drop_path, corner_aligned)
        level_widths = self.pixel_decoder.out_channels
        self.levels = tuple(level for level, count in enumerate(num_layers) for _ in range(count))
        self.layers = nn.ModuleList(
            KMaXLayer(level_widths[level], hidden_dim, num_classes, num_heads, drop_path) for level in self.levels)
        self.centers = nn.Parameter(trunc_normal_tf_(torch.empty(hidden_dim, num_queries)))
        self.class_queries, self.mask_queries = (ConvNorm(hidden_dim, hidden_dim, dims=1) for _ in range(2))
        self.predict = Predictor(level_widths[-1], hidden_dim, num_classes)
        self.semantic_decoder = SemanticDecoder(
            (widths[0], *widths[2:]), num_classes, hidden_dim, corner_aligned) if semantic else None
        self.semantic_branches = nn.ModuleDict({
            str(level): SemanticBranch(level_widths[level], num_classes, hidden_dim)
            for level in dict.fromkeys(self.levels[:relax])})

    @property
    def size_divisor(self) -> int:
        return 1 if self.corner_aligned else super().size_divisor

    def forward(self, images: Tensor) -> list[KMaXPrediction]:
        """A prediction of each decoder layer, made before it moves the queries, and the final one last.

        Those of layers have the size of the map that the layer reads; in train mode all have that of the final one.

        Raises:
            ValueError: Images for a ``corner_aligned`` network are not of 32 k + 1 pixels on each side; or a training
                step with ``semantic`` or ``relax`` has a single image, over which means of maps cannot be normalised.
        """
        if self.corner_aligned and any(side % 32 != 1 for side in images.shape[-2:]):
            raise ValueError(
                f'corner_aligned=True takes images of 32 k + 1 pixels on each side, such as 1281, and not of '
                f'{tuple(images.shape[-2:])}: pad them in the pipeline, or set head.corner_aligned=False')
        for branch in (self.semantic_decoder, *self.semantic_branches.values()):
            if branch is not None:
                require_images(branch.aspp.pool.norm, images.shape[0], 'KMaXDeepLab')
        maps = self.backbone(images)[::-1]
        levels = self.pixel_decoder(maps)
        queries = self.centers.expand(images.shape[0], -1, -1)
        predictions = []
        for level, layer in zip(self.levels, self.layers, strict=True):
            queries, prediction = layer(levels[level], queries)
            predictions.append(prediction)
        answer = self.predict(levels[-1], self.mask_queries(queries), self.class_queries(queries))
        if self.training:
            predictions = self._to_learn(predictions, levels, answer.masks.shape[-2:])
            if self.semantic_decoder is not None:
                answer = answer._replace(semantic=self.semantic_decoder((maps[0], *maps[2:])))
        return [*predictions, answer]

    def _to_learn(
        self,
        predictions: Sequence[KMaXPrediction],
        levels: Sequence[Tensor],
        size: tuple[int, int],
    ) -> list[KMaXPrediction]:
        """Predictions of the layers at the size of the final one, relaxed where ReMaX does; a branch is taught once."""
        semantics = {level: resize_bilinear(branch(levels[int(level)]), size, self.corner_aligned)
                     for level, branch in self.semantic_branches.items()}
        taught, result = set(), []
        for index, (level, prediction) in enumerate(zip(self.levels, predictions, strict=True)):
            masks, pixels = (
                resize_bilinear(x, size, self.corner_aligned) for x in (prediction.masks, prediction.pixels))
            prediction = prediction._replace(masks=masks, pixels=pixels)
            if index < self.relax:
                semantic = semantics[str(level)]
                prediction = prediction._replace(
                    relaxed=relax_masks(masks, prediction.classes, semantic),
                    semantic=None if level in taught else semantic)
                taught.add(level)
            result.append(prediction)
        return result

    def sigmoid_logits(self, masks: Tensor) -> Tensor:
        """Log odds of the softmax over queries, (B, Q, H, W) to the same."""
        return competing_log_odds(masks)


def _check(num_layers: Sequence[int], relax: int, hidden_dim: int, num_heads: int) -> None:
    if len(num_layers) != len(_STRIDES) - 1:
        raise ValueError(f'num_layers={tuple(num_layers)}: give the decoder layers of strides 32, 16 and 8')
    if not 0 <= relax <= sum(num_layers):
        raise ValueError(f'relax={relax}, but there are {sum(num_layers)} decoder layers')
    if hidden_dim % 8 or (hidden_dim // 2) % num_heads:
        raise ValueError(f'hidden_dim={hidden_dim}: choose a multiple of 8 whose half num_heads={num_heads} divides')

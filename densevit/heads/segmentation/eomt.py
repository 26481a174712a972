"""EoMT: Your ViT is Secretly an Image Segmentation Model (arXiv:2503.19108).

A plain ViT whose last blocks also process learned queries: no adapter, no pixel decoder, no Transformer decoder.
"""
from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import PlainViT, Tokens
from ...layers import ScaleBlock
from .mask_types import MaskPrediction
from .networks import MaskNetwork


class EoMT(MaskNetwork):
    """Encoder-only mask transformer: (B, 3, H, W) normalised images to mask and class logits.

    Queries join the patch tokens before the last ``num_blocks`` blocks. While a block's mask is on, each query
    attends only to the patches inside the mask predicted for it just before that block (section 3.2); masks are
    annealed away during training, so that inference is the ViT alone (section 3.3).

    Args:
        backbone: A plain ViT that takes extra tokens.
        num_classes: C; the class head has C + 1 outputs.
        num_queries: Q; the paper uses 200, and 100 for semantic segmentation.
        num_blocks: Blocks that process queries; the paper uses 3 for S and B, 4 for L, 5 for g.
        masked_attention: False trains without masks and without intermediate predictions.
        deep_supervision: ``'masked'`` predicts before a block only while its mask is still used, ``'always'`` in
            every training step, as the authors' code does to the end.
        lateral: Add the maps of the backbone's convolutional stem where their stride is met while upscaling. Not in
            the paper; for small hybrids trained from scratch.
    """

    def __init__(
        self,
        backbone: PlainViT,
        num_classes: int,
        num_queries: int = 100,
        num_blocks: int = 4,
        masked_attention: bool = True,
        deep_supervision: Literal['masked', 'always'] = 'masked',
        lateral: bool = False,
    ) -> None:
        super().__init__(backbone, num_classes)
        if not 0 < num_blocks <= backbone.depth:
            raise ValueError(f'num_blocks={num_blocks}, but the backbone has {backbone.depth} blocks')
        if not backbone.driver.takes_extra_tokens:
            raise ValueError('EoMT needs a backbone whose blocks take extra tokens; SAM trunks do not')
        if deep_supervision not in ('masked', 'always'):
            raise ValueError(f"deep_supervision='{deep_supervision}': choose 'masked' or 'always'")
        if deep_supervision == 'always' and not masked_attention:
            raise ValueError("deep_supervision='always' supervises masks, which masked_attention=False does without")
        dim = backbone.embed_dim
        self.num_queries, self.num_blocks = num_queries, num_blocks
        self.masked_attention, self.deep_supervision = masked_attention, deep_supervision
        self.query = nn.Embedding(num_queries, dim)
        self.class_head = nn.Linear(dim, num_classes + 1)
        self.mask_head = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.num_upscales = max(1, int(math.log2(backbone.stride)) - 2)  # to stride 4 for patches of 8 and 16
        self.upscale = nn.ModuleList(ScaleBlock(dim) for _ in range(self.num_upscales))
        self.lateral = self._build_lateral() if lateral else None
        self.register_buffer('attn_mask_probs', torch.full((num_blocks, ), float(masked_attention)))
        self._probs = [float(masked_attention)] * num_blocks

    def forward(self, images: Tensor) -> list[MaskPrediction]:
        """Predictions before each masked block, in order, and the final one last.

        Masks cover the image as the backbone pads it: to whole patches, at the right and bottom.
        """
        tokens = self.backbone.embed(images)
        first = self.backbone.depth - self.num_blocks
        tokens = self.backbone.run(tokens, 0, first).prepend(self.query.weight)
        predictions = []
        for step, prob in enumerate(self._probs):
            attn_mask = None
            if prob > 0 or (self.training and self.deep_supervision == 'always'):
                predictions.append(self._predict(tokens))
            if prob > 0:
                attn_mask = self._attn_mask(predictions[-1].masks, tokens, prob)
            tokens = self.backbone.run(tokens, first + step, first + step + 1, attn_mask)
        return [*predictions, self._predict(tokens)]

    def set_mask_probs(self, probs: list[float]) -> None:
        """Set, block by block, the probability that an image's query is masked (mask annealing, section 3.3)."""
        self.attn_mask_probs.copy_(torch.as_tensor(probs))
        self._probs = list(probs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._probs = self.attn_mask_probs.tolist()  # read by Python at every block: no device synchronisation there

    def _predict(self, tokens: Tokens) -> MaskPrediction:
        tokens = self.backbone.norm(tokens)
        queries = tokens.x[:, :self.num_queries]
        masks = torch.einsum('bqd,bdhw->bqhw', self.mask_head(queries), self._upscale(tokens))
        return MaskPrediction(masks, self.class_head(queries))

    def _upscale(self, tokens: Tokens) -> Tensor:
        maps, stride = tokens.feature_map(), self.backbone.stride
        for block in self.upscale:
            maps, stride = block(maps), stride // 2
            if self.lateral is not None and str(stride) in self.lateral:
                stem = tokens.stem[self.backbone.stem_strides.index(stride)]
                maps = maps + self.lateral[str(stride)](stem)
        return maps

    def _attn_mask(self, masks: Tensor, tokens: Tokens, prob: float) -> Tensor:
        """(B, 1, N, N), True where a token may attend: all but patches outside a masked query's predicted mask.

        A probability between 0 and 1 is drawn for in training and rounded in evaluation, which so repeats itself.
        """
        inside = F.interpolate(masks, tokens.grid, mode='bilinear').flatten(2) > 0  # (B, Q, h * w)
        if not self.training:
            inside |= prob < .5
        elif prob < 1:
            inside |= torch.rand(*inside.shape[:2], 1, device=inside.device) > prob
        length = tokens.x.shape[1]
        attn_mask = inside.new_ones(len(inside), length, length)
        attn_mask[:, :self.num_queries, tokens.num_prefix:] = inside
        return attn_mask.unsqueeze(1)

    def _build_lateral(self) -> nn.ModuleDict:
        met = {self.backbone.stride // 2**step for step in range(1, self.num_upscales + 1)}
        maps = zip(self.backbone.stem_strides, self.backbone.stem_channels, strict=True)
        lateral = {str(stride): nn.Conv2d(channels, self.backbone.embed_dim, 1)
                   for stride, channels in maps if stride in met}
        if not lateral:
            raise ValueError('lateral=True needs a backbone with a convolutional stem (PlainViT(stem=...)) whose maps '
                             f'have a stride of {sorted(met)}')
        return nn.ModuleDict(lateral)

"""A tiny Plain DETR of github.com/impiga/Plain-DETR (MIT) on its Swin v2, imported from a checkout."""
from __future__ import annotations

from types import SimpleNamespace

import timm.layers
import torch
from official import importable, repository
from torch import Tensor, nn

OPTIONS = dict(
    hidden_dim=32, nheads=4, dim_feedforward=48, dropout=0., dec_layers=3, norm_type='pre_norm', num_feature_levels=1,
    two_stage=True, mixed_selection=True, with_box_refine=True, look_forward_twice=True, decoder_use_checkpoint=False,
    num_queries_one2one=6, num_queries_one2many=10, decoder_type='global_rpe_decomp', decoder_rpe_hidden_dim=24,
    proposal_feature_levels=4, proposal_in_stride=16, proposal_tgt_strides=[8, 16, 32, 64], reparam=True,
    position_embedding='sine_unnorm', set_cost_class=2., set_cost_bbox=1., set_cost_giou=2.)
WEIGHTS = dict(loss_ce=2., loss_bbox=1., loss_giou=2.)
REPEATS = 3


class OfficialPlainDETR:
    """The authors' network and what it learns.

    Args:
        num_classes: Classes.
        scale: ``decoder_rpe_type``.
    """

    def __init__(self, num_classes: int, scale: str = 'linear') -> None:
        args = SimpleNamespace(**OPTIONS, decoder_rpe_type=scale)
        folder = repository('Plain-DETR')
        layers = {name: getattr(timm.layers, name) for name in ('DropPath', 'to_2tuple', 'to_ntuple', 'trunc_normal_')}
        with importable(folder, stubs={'timm.models.layers': layers}):
            from models import backbone, detr, matcher, position_encoding, swin_transformer_v2, transformer
            from util.misc import NestedTensor
            body = backbone.TransformerBackbone.__new__(backbone.TransformerBackbone)
            nn.Module.__init__(body)
            body.body = swin_transformer_v2.SwinTransformerV2(
                embed_dim=16, depths=[1, 1, 2, 2], num_heads=[1, 2, 2, 4], window_size=4, drop_path_rate=0.,
                pretrained_window_size=[0, 0, 0, 3], out_indices=(3, ), global_blocks=[[-1], [-1], [-1], [0, 1]])
            body.strides, body.num_channels = [32], [128]
            joined = backbone.Joiner(backbone.UpSampleWrapper(body, 16),
                                     position_encoding.build_position_encoding(args))
            self.network = detr.PlainDETRReParam(
                joined, transformer.build_transformer(args), num_classes, 1, with_box_refine=True, two_stage=True,
                num_queries_one2one=6, num_queries_one2many=10, mixed_selection=True)
            self.criterion = detr.SetCriterion(num_classes, matcher.build_matcher(args), {}, ['labels', 'boxes'],
                                               reparam=True)
        self.nested = NestedTensor

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        return self.network(self.nested(images, torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)))

    def losses(self, images: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Weighted, by their names, those of the one-to-many branch with ``_one2many`` at the end."""
        out = self(images)
        many = {name.removesuffix('_one2many'): value for name, value in out.items() if name.endswith('_one2many')}
        repeated = [dict(labels=target['labels'].repeat(REPEATS), boxes=target['boxes'].repeat(REPEATS, 1))
                    for target in targets]
        losses = self.criterion(out, targets)
        losses.update({f'{name}_one2many': value for name, value in self.criterion(many, repeated).items()})
        return {name: weight * loss for name, loss in losses.items() for kind, weight in WEIGHTS.items()
                if name.startswith(kind)}

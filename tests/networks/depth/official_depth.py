"""Tiny depth networks of their authors' code, imported from checkouts.

MiDaS (MIT), Depth Anything V2, Depth Anything 3 and DINOv2 (Apache-2.0).
"""
from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any, Literal

import timm
import timm.layers
from official import importable, repository
from torch import Tensor, nn

VIT = dict(embed_dim=32, depth=4, num_heads=2)
DINOV2 = dict(VIT, img_size=56, patch_size=14, init_values=1., block_chunks=0)
CHANNELS, WIDTH, LAYERS = [8, 12, 16, 20], 16, [0, 1, 2, 3]
MIDAS_CHANNELS, HYBRID_CHANNELS = [96, 192, 384, 768], [256, 512, 768, 768]


def midas(family: Literal['vit', 'beit', 'hybrid']) -> nn.Module:
    """MiDaS 3.1: (B, 3, H, W) to (B, H, W)."""
    with importable(repository('MiDaS'), stubs={'timm.models.layers': dict(get_act_layer=timm.layers.get_act_layer)}):
        from midas import blocks
        from midas.backbones import beit, vit
        from midas.dpt_depth import DPTDepthModel
        if family == 'vit':
            trunk = timm.create_model('vit_base_patch16_224', img_size=64, num_classes=0, **VIT)
            made = vit._make_vit_b16_backbone
        elif family == 'hybrid':
            trunk = timm.create_model('vit_base_r50_s16_384', img_size=64, num_classes=0, **VIT)
            made = vit._make_vit_b_rn50_backbone
        else:
            trunk = timm.create_model('beit_base_patch16_224', img_size=64, num_classes=0, init_values=1., **VIT)
            for block in trunk.blocks:  # as timm called them then
                block.drop_path = nn.Identity()
                block.attn.num_relative_distance = len(block.attn.relative_position_bias_table)
            made = beit._make_beit_backbone
        pretrained = made(trunk, HYBRID_CHANNELS if family == 'hybrid' else MIDAS_CHANNELS, [64, 64],
                          LAYERS, 32, use_readout='project')
        for name in ('_make_pretrained_vitb16_384', '_make_pretrained_beitb16_384', '_make_pretrained_vitb_rn50_384'):
            setattr(blocks, name, lambda *_, **__: pretrained)
        name = 'vitb_rn50_384' if family == 'hybrid' else f'{family}b16_384'
        return DPTDepthModel(backbone=name, features=WIDTH).eval()


def depth_anything_v2() -> nn.Module:
    """Depth Anything V2: (B, 3, H, W) to (B, H, W)."""
    with importable(repository('Depth-Anything-V2')):
        from depth_anything_v2 import dpt
        from depth_anything_v2.dinov2 import DinoVisionTransformer
        dpt.DINOv2 = lambda model_name: DinoVisionTransformer(**DINOV2, block_fn=_block('depth_anything_v2.dinov2'))
        network = dpt.DepthAnythingV2('vits', WIDTH, CHANNELS)
        network.intermediate_layer_idx = {'vits': LAYERS}
        return network.eval()


class DepthAnything3(nn.Module):
    """Depth Anything 3 of one view, before the sky is pushed away: (B, 3, H, W) to depth and sky (B, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        omegaconf = dict(DictConfig=dict, ListConfig=list, OmegaConf=None)
        with importable(repository('Depth-Anything-3'), stubs={'omegaconf': omegaconf}):
            from depth_anything_3.model.da3 import DepthAnything3Net
            from depth_anything_3.model.dinov2.dinov2 import DinoV2
            from depth_anything_3.model.dinov2.vision_transformer import DinoVisionTransformer
            from depth_anything_3.model.dpt import DPT
            backbone = DinoV2('vits', LAYERS, cat_token=False)
            backbone.pretrained = DinoVisionTransformer(**DINOV2, cat_token=False)
            self.model = DepthAnything3Net(backbone, DPT(32, features=WIDTH, out_channels=CHANNELS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, _ = self.model.backbone(images[:, None])
        found = self.model._process_depth_head(features, *images.shape[-2:])
        return found.depth[:, 0], found.sky[:, 0]


def dinov2_depther(head: Literal['dpt', 'linear'], **options: Any) -> nn.Module:
    """DINOv2's depth heads on four levels: (B, 3, H, W) of whole patches to (B, 1, H, W)."""
    with importable(repository('dinov2')):
        from dinov2.hub import depth
        from dinov2.models.vision_transformer import DinoVisionTransformer
        backbone = DinoVisionTransformer(**DINOV2, block_fn=_block('dinov2.layers'))
        made = depth.DPTHead(
            in_channels=[32] * 4, channels=WIDTH, embed_dims=32, post_process_channels=CHANNELS, readout_type='project',
            **options) if head == 'dpt' else depth.BNHead(
                in_channels=[32] * 4, channels=32 * 8, in_index=[0, 1, 2, 3], upsample=4, **options)
        network = depth.DepthEncoderDecoder(backbone=backbone, decode_head=made)
        backbone.forward = partial(backbone.get_intermediate_layers, n=LAYERS, reshape=True, return_class_token=True,
                                   norm=False)
        return network.eval()


def _block(module: str) -> Any:
    """DINOv2's block, in the module that has it, with attention that needs no extension."""
    layers = import_module(f'{module}_layers' if module.endswith('.dinov2') else module)
    return partial(layers.NestedTensorBlock, attn_class=layers.MemEffAttention)

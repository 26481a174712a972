"""Tiny plain ViTs of every family."""
from __future__ import annotations

from typing import Any

import timm
from randomised import randomise
from torch import nn

from densevit.backbones import PlainViT

TINY = {'embed_dim': 32, 'depth': 3, 'num_heads': 2}
TRUNKS = {
    'AugReg': ('vit_small_patch16_224', {}),
    'DeiT III': ('deit3_small_patch16_224', {}),
    'MAE': ('vit_base_patch16_224.mae', {}),
    'DINOv2': ('vit_small_patch14_dinov2', {'img_size': 56}),
    'DINOv2 with registers': ('vit_small_patch14_reg4_dinov2', {'img_size': 56}),
    'DINOv2 SwiGLU': ('vit_giant_patch14_reg4_dinov2', {'img_size': 56}),
    'DINOv3': ('vit_small_patch16_dinov3', {}),
    'DINOv3 with biases': ('vit_small_patch16_dinov3_qkvb', {}),
    'EVA-02': ('eva02_tiny_patch14_224', {}),
    'SAM': ('samvit_base_patch16', {'img_size': 64, 'global_attn_indexes': (1, )}),
    'PE core': ('vit_pe_core_tiny_patch16_384', {}),
    'PE spatial': ('vit_pe_spatial_tiny_patch16_512', {}),
    'SigLIP': ('vit_base_patch16_siglip_224', {}),
    'BEiT': ('beit_base_patch16_224', {'img_size': (80, 112), 'init_values': 1.}),
    'BEiT shared': ('beit_base_patch16_224', {'img_size': (80, 112), 'use_rel_pos_bias': False,
                                              'use_shared_rel_pos_bias': True, 'use_abs_pos_emb': True}),
    'BEiTv2': ('beitv2_base_patch16_224', {'img_size': (80, 112), 'init_values': 1.}),
    'mixed rotary': ('vit_small_patch16_rope_mixed_224', {}),
}
# One of each kind of attention and positions.
KINDS = ('AugReg', 'DINOv2 with registers', 'DINOv3', 'EVA-02', 'SAM', 'BEiT', 'mixed rotary')


def build(family: str, **kwargs: Any) -> PlainViT:
    """A model with random parameters, in eval mode."""
    name, options = TRUNKS[family]
    return randomise(PlainViT(name.split('.')[0], **{**TINY, **options, **kwargs})).eval()


def timms_trunk(family: str, model: PlainViT) -> nn.Module:
    """timm's own model with the same parameters: blocks and attention of ours may be of other classes."""
    name, options = TRUNKS[family]
    options = dict(options, global_pool='')
    if family == 'SAM':
        del options['global_pool']
    elif 'BEiT' not in family:
        options['dynamic_img_size'] = True
    trunk = timm.create_model(name.split('.')[0], num_classes=0, **TINY, **options).eval()
    if family == 'SAM':
        trunk.patch_embed.strict_img_size = False
        trunk.neck = nn.Identity()
    trunk.load_state_dict(model.trunk.state_dict())
    return trunk

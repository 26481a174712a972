"""Tiny Swin backbones of transformers and ours, to compare whole networks around them."""
from transformers import SwinConfig

from densevit.backbones import TimmPyramid

WIDTHS = dict(embed_dim=12, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), window_size=4)


def hf_swin_config():
    sizes = {name: list(value) if isinstance(value, tuple) else value for name, value in WIDTHS.items()}
    return SwinConfig(image_size=128, patch_size=4, out_features=['stage1', 'stage2', 'stage3', 'stage4'],
                      drop_path_rate=0., **sizes)


def tiny_swin():
    return TimmPyramid('swin_tiny_patch4_window7_224', img_size=128, norm_out=True, drop_path_rate=0., **WIDTHS)

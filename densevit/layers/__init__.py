"""Pure PyTorch building blocks; nothing here knows of OpenMMLab."""
from .attention_windows import AttentionWindows
from .deformable_attention import DeformableAttention, multi_scale_deformable_attention
from .norm import SyncBatchNorm
from .patch_embed import resize_patch_embed
from .points import sample_points, uncertain_points
from .pos_embed import absolute_window_pos_embed, resize_pos_embed, resize_pos_map, tile_pos_embed
from .relative_position import decomposed_rel_pos_bias, relative_position_bias
from .upscale import ScaleBlock
from .windows import average_windows, window_origins

__all__ = [
    'AttentionWindows', 'DeformableAttention', 'ScaleBlock', 'SyncBatchNorm', 'absolute_window_pos_embed',
    'average_windows', 'decomposed_rel_pos_bias', 'multi_scale_deformable_attention', 'relative_position_bias',
    'resize_patch_embed', 'resize_pos_embed', 'resize_pos_map', 'sample_points', 'tile_pos_embed', 'uncertain_points',
    'window_origins'
]

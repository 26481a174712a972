"""Pure PyTorch building blocks; nothing here knows of OpenMMLab."""
from .attention_windows import AttentionWindows
from .deformable_attention import DeformableAttention, multi_scale_deformable_attention
from .norm import SyncBatchNorm, joined_processes, synchronise_anywhere
from .patch_embed import resize_patch_embed
from .points import sample_points, uncertain_points
from .pos_embed import absolute_window_pos_embed, resize_pos_embed, resize_pos_map, tile_pos_embed
from .relative_position import decomposed_rel_pos_bias, relative_position_bias
from .resize import resize_bilinear, resize_rows
from .sine_positions import sine_positions
from .symbolic import crop, is_symbolic
from .tiles import window_origins
from .upscale import ScaleBlock

__all__ = [
    'AttentionWindows', 'DeformableAttention', 'ScaleBlock', 'SyncBatchNorm', 'absolute_window_pos_embed',
    'crop', 'decomposed_rel_pos_bias', 'is_symbolic', 'joined_processes', 'multi_scale_deformable_attention',
    'relative_position_bias', 'resize_bilinear', 'resize_patch_embed', 'resize_pos_embed', 'resize_pos_map',
    'resize_rows', 'sample_points', 'sine_positions', 'synchronise_anywhere', 'tile_pos_embed', 'uncertain_points',
    'window_origins'
]

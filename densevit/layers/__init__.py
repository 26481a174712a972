"""Pure PyTorch building blocks; nothing here knows of OpenMMLab."""
from .patch_embed import resize_patch_embed
from .points import sample_points, uncertain_points
from .pos_embed import resize_pos_embed
from .upscale import ScaleBlock
from .windows import average_windows, window_origins

__all__ = [
    'ScaleBlock', 'average_windows', 'resize_patch_embed', 'resize_pos_embed', 'sample_points', 'uncertain_points',
    'window_origins'
]

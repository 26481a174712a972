"""Any picture a user may hand in becomes one thing, in training, tests and predictions alike: RGB, uint8, (H, W, 3)."""
from .colors import to_grey
from .deep import DeepImage, read_deep, read_deep_with_doubts
from .heif import has_heif
from .reading import ImageError, ImageSource, local_path, read_image, read_with_doubts, upright

__all__ = [
    'DeepImage', 'ImageError', 'ImageSource', 'has_heif', 'local_path', 'read_deep',
    'read_deep_with_doubts', 'read_image', 'read_with_doubts', 'to_grey', 'upright'
]

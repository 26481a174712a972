"""Images of any depth in [0, 1]."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ...registry import MODELS


@MODELS.register_module()
class RestorationPreprocessor(BaseDataPreprocessor):
    """A batch of RGB or grey images to (B, C, H, W) float32 in [0, 1]; nothing is subtracted, for networks do that.

    Images of 8 and 16 bits are divided by their largest value, others are taken as they are. Smaller ones of a batch
    are padded with zeros at the right and bottom.
    """

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Take ``dict(inputs=list of (C, H, W), data_samples=...)``."""
        data = self.cast_data(dict(data))
        images = [to_unit(image) for image in data['inputs']]
        height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
        data['inputs'] = torch.stack([pad_to(image, (height, width)) for image in images])
        data.setdefault('data_samples', None)
        return data


def to_unit(image: Tensor) -> Tensor:
    """A tensor of integers of 8 or 16 bits, or of floating-point numbers in [0, 1], to float32 in [0, 1]."""
    if image.is_floating_point():
        return image.float()
    return image.float() / torch.iinfo(image.dtype).max


def pad_to(image: Tensor, size: Sequence[int]) -> Tensor:
    """(..., h, w) with zeros at the right and bottom."""
    return F.pad(image, (0, size[1] - image.shape[-1], 0, size[0] - image.shape[-2]))

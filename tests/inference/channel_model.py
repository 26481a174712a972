"""A network that needs no training: it labels a pixel by its strongest colour channel."""
from __future__ import annotations

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData


class ChannelModel(BaseModel):
    """Scores are the channels in [0, 1], predicted at the original size as OpenMMLab's segmentors do."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict' and not torch.is_grad_enabled() and not self.training
        for image, sample in zip(inputs, data_samples, strict=True):
            self.sizes.append(tuple(image.shape[-2:]))
            rgb = image.float().flip(0) / 255  # OpenMMLab's pictures are BGR
            scores = torch.nn.functional.interpolate(rgb[None], sample.ori_shape[:2], mode='nearest')[0]
            sample.seg_logits = PixelData(data=scores)
            sample.pred_sem_seg = PixelData(data=scores.argmax(0, keepdim=True))
        return data_samples

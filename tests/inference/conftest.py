"""A network that needs no training: it labels a pixel by its strongest colour channel."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import PixelData

from densevit.inference.predictor import Predictor
from densevit.inference.tasks.segmentation import SegmentationResult

CLASSES = ('red', 'green', 'blue')


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


@pytest.fixture
def make_predictor() -> Callable[..., Predictor]:
    def make(*transforms: dict, classes=CLASSES, **options) -> Predictor:
        pipeline = [dict(type='LoadImageFromFile'), *transforms, dict(type='LoadAnnotations'),
                    dict(type='PackSegInputs')]
        cfg = Config(dict(default_scope='mmseg', test_pipeline=pipeline))
        return Predictor(ChannelModel(), cfg, classes=classes, **options)

    return make


@pytest.fixture
def picture() -> np.ndarray:
    """(40, 60, 3): green above; below, 24 columns of red and 36 of blue."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :24] = 200, 50, 0
    image[:, 24:] = 0, 50, 200
    image[:10] = 0, 255, 0
    return image


@pytest.fixture
def semantic_result(picture) -> SegmentationResult:
    """The segmentation of ``picture`` with 4 unlabelled pixels and red, green and blue as classes 0, 1 and 2."""
    labels = np.array([0, 2])[(np.arange(60) >= 24).astype(int)][None].repeat(40, 0)
    labels[:10] = 1
    labels[0, :4] = 255
    confidence = np.where(labels == 1, 1, 0.75)
    return SegmentationResult.from_semantic(picture, labels, CLASSES, None, confidence, ignore_index=255)


@pytest.fixture
def instance_result(picture) -> SegmentationResult:
    """Two overlapping blue instances and an empty red one."""
    masks = np.zeros((3, 40, 60), bool)
    masks[0, :20, :10] = masks[1, 10:30, 5:25] = True
    return SegmentationResult.from_instances(
        picture, masks, np.array([2, 2, 0]), np.array([0.5, 0.9, 0.7]), CLASSES)

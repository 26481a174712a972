"""Predictors, results and a picture."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from channel_model import ChannelModel
from mmengine.config import Config

from densevit.inference.predictor import Predictor
from densevit.inference.tasks.segmentation import SegmentationResult

CLASSES = ('red', 'green', 'blue')


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

"""A detector that needs no training: it finds rectangles in red, green and blue, or the part that it is shown."""
from __future__ import annotations

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from scipy.ndimage import find_objects, label

from densevit.inference.predictor import Predictor

CLASSES = ('red', 'green', 'blue')


class RectangleModel(BaseModel):
    """Connected pixels of a strong channel are an object, whose score is its brightest value of 255.

    It keeps the sizes of the batches that it saw. What is smaller than ``least`` pixels along a side it does not see.
    """

    def __init__(self, with_masks: bool = False, least: int = 1) -> None:
        super().__init__()
        self.with_masks, self.least, self.batches = with_masks, least, []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict' and not torch.is_grad_enabled() and not self.training
        self.batches.append((len(inputs), *inputs[0].shape[-2:]))
        for image, sample in zip(inputs, data_samples, strict=True):
            boxes, labels, scores, masks = [], [], [], []
            scale = np.array(sample.ori_shape) / image.shape[-2:]
            for index, channel in enumerate(image.flip(0).numpy()):  # OpenMMLab's pictures are BGR
                components, _ = label(channel > 64)
                for number, (rows, columns) in enumerate(find_objects(components), 1):
                    if min(rows.stop - rows.start, columns.stop - columns.start) < self.least:
                        continue
                    boxes.append([columns.start * scale[1], rows.start * scale[0], columns.stop * scale[1],
                                  rows.stop * scale[0]])
                    labels.append(index)
                    scores.append(channel[components == number].max() / 255)
                    mask = torch.from_numpy(components == number)
                    masks.append(torch.nn.functional.interpolate(mask[None, None].float(), sample.ori_shape)[0, 0] > 0)
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor(boxes).reshape(-1, 4).float(), labels=torch.tensor(labels).long(),
                scores=torch.tensor(scores).float())
            if self.with_masks:
                sample.pred_instances.masks = torch.stack(masks) if masks else torch.zeros(
                    0, *sample.ori_shape, dtype=torch.bool)
        return data_samples


def rectangle_predictor(*transforms: dict, with_masks: bool = False, least: int = 1, **options) -> Predictor:
    cfg = Config(dict(default_scope='mmdet', test_pipeline=[
        dict(type='LoadImageFromFile'), *transforms, dict(type='PackDetInputs')]))
    return Predictor(RectangleModel(with_masks, least), cfg, classes=CLASSES, **options)


def draw(size: tuple[int, int], rectangles: dict[tuple[int, int, int, int], tuple[int, int]]) -> np.ndarray:
    """(H, W, 3): corners in pixels to class and brightness."""
    image = np.zeros((*size, 3), np.uint8)
    for (x0, y0, x1, y1), (channel, value) in rectangles.items():
        image[y0:y1, x0:x1] = 0
        image[y0:y1, x0:x1, channel] = value
    return image

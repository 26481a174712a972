"""Mask predictions as the fields of OpenMMLab's data samples."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor
from torchvision.ops import masks_to_boxes

from ..heads.segmentation import instance_masks, panoptic_map

INSTANCE_OFFSET = 1000  # mmdetection's panoptic ids are label + 1000 * instance, and the number of classes for none


def to_original_size(maps: Tensor, sample: BaseDataElement) -> Tensor:
    """(C, H, W) over a padded batch image to (C, H', W') over the image as it was before it was resized."""
    height, width = sample.get('img_shape', maps.shape[-2:])[:2]
    maps = maps[None, :, :height, :width]
    return F.interpolate(maps, sample.get('ori_shape', (height, width))[:2], mode='bilinear')[0]


def semantic_fields(scores: Tensor) -> dict[str, Any]:
    """``seg_logits`` and ``pred_sem_seg`` from class scores (C, H, W), as mmsegmentation's models give them."""
    return dict(seg_logits=PixelData(data=scores), pred_sem_seg=PixelData(data=scores.argmax(0, keepdim=True)))


def instance_fields(masks: Tensor, classes: Tensor, **options: Any) -> dict[str, Any]:
    """``pred_instances`` as mmdetection's models give them.

    Args:
        masks: Logits (Q, H, W) at the original size.
        classes: Logits (Q, C + 1).
        options: Of :func:`densevit.heads.segmentation.instance_masks`.
    """
    found = instance_masks(masks, classes, **options)
    boxes = masks.new_zeros(len(found.labels), 4)
    seen = found.masks.flatten(1).any(1)
    boxes[seen] = masks_to_boxes(found.masks[seen]) + boxes.new_tensor([0, 0, 1, 1])  # x1 and y1 are exclusive
    return dict(pred_instances=InstanceData(
        masks=found.masks, labels=found.labels, scores=found.scores, bboxes=boxes))


def panoptic_fields(masks: Tensor, classes: Tensor, stuff: Collection[int], **options: Any) -> dict[str, Any]:
    """``pred_panoptic_seg`` as mmdetection's models give it: (1, H, W) ids.

    Args:
        masks: Logits (Q, H, W) at the original size.
        classes: Logits (Q, C + 1).
        stuff: Ids of the classes that are not counted.
        options: Of :func:`densevit.heads.segmentation.panoptic_map`.
    """
    segments, labels = panoptic_map(masks, classes, stuff, **options)
    is_thing = torch.tensor([label not in stuff for label in labels.tolist()], dtype=torch.bool, device=labels.device)
    ids = labels + INSTANCE_OFFSET * torch.where(is_thing, is_thing.cumsum(0), 0)
    ids = torch.cat((ids, ids.new_tensor([classes.shape[-1] - 1])))  # the last entry is what -1 points to
    return dict(pred_panoptic_seg=PixelData(sem_seg=ids[segments][None]))

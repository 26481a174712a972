"""Predictions as the fields of OpenMMLab's data samples, written while maps are read some rows at a time."""
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from ...networks.segmentation import InstanceReader, PanopticReader
from ..row_maps import RowMaps

INSTANCE_OFFSET = 1000  # mmdetection's panoptic ids are label + 1000 * instance, and the number of classes for none


def semantic_fields(
    scores: RowMaps,
    confidence: Callable[[Tensor, Tensor], Tensor],
    band_bytes: int,
    device: torch.device,
    keep_scores: bool = False,
) -> dict[str, Any]:
    """``pred_sem_seg``, as mmsegmentation's models give it, and ``seg_confidence``, how sure it is.

    Args:
        scores: Class scores (C, H, W).
        confidence: Makes of the best score (h, W) and all scores (C, h, W) of some rows the confidence (h, W), in
            [0, 1].
        band_bytes: About how many bytes of scores may be in memory at a time.
        device: Where the fields are made.
        keep_scores: Whether all scores are kept, as ``seg_logits``.
    """
    labels = torch.empty(1, *scores.size, dtype=torch.long, device=device)
    shares = torch.empty(1, *scores.size, device=device)
    kept = torch.empty(scores.channels, *scores.size, device=device) if keep_scores else None
    for rows, band in scores.bands(band_bytes):
        best, labels[0, rows] = band.max(0)  # on a CPU, argmax takes many times as long
        shares[0, rows] = confidence(best, band)
        if kept is not None:
            kept[:, rows] = band
    fields = dict(pred_sem_seg=PixelData(data=labels), seg_confidence=PixelData(data=shares))
    return fields if kept is None else dict(fields, seg_logits=PixelData(data=kept))


def instance_fields(
    reader: InstanceReader,
    logits_of: Callable[[Tensor], RowMaps],
    size: tuple[int, int],
    band_bytes: int,
    encode: bool = False,
) -> dict[str, Any]:
    """``pred_instances`` as mmdetection's models give them.

    Args:
        reader: The reader of the instances of one image.
        logits_of: Gives the mask logits of queries (n,) at the original size.
        size: Height and width of the masks.
        band_bytes: About how many bytes of logits may be in memory at a time.
        encode: Whether masks become run-length encodings, a few masks at a time.
    """
    count, pixels = len(reader.queries), size[0] * size[1]
    group = max(1, min(count, band_bytes // pixels if encode else count))
    # Run lengths go by columns, which then lie one after the other: no copy of a mask is made for each.
    shape = (group, *(size[::-1] if encode else size))
    masks = torch.empty(shape, dtype=torch.bool, device=reader.queries.device)
    masks = masks.transpose(1, 2) if encode else masks
    encoded: list[dict[str, Any]] = []
    for first in range(0, count, group):
        logits = logits_of(reader.queries[first:first + group])
        for rows, band in logits.bands(band_bytes):
            masks[:len(band), rows] = reader.add(rows, band, first)
        if encode:
            encoded += map(_run_lengths, masks[:logits.channels])
    found = reader.rank()
    if encode:
        masks = [encoded[index] for index in found.candidates.tolist()]
    else:
        _reorder_(masks, found.candidates.tolist())
        masks = masks[:len(found.candidates)]
    return dict(pred_instances=InstanceData(masks=masks, labels=found.labels, scores=found.scores, bboxes=found.boxes))


def panoptic_fields(
    reader: PanopticReader,
    logits: RowMaps,
    num_classes: int,
    stuff: Collection[int],
    band_bytes: int,
) -> dict[str, Any]:
    """``pred_panoptic_seg`` as mmdetection's models give it: (1, H, W) ids.

    Args:
        reader: The reader of the panoptic map of one image.
        logits: Logits of the masks that the reader wants, at the original size.
        num_classes: The number of classes, which is also the id of pixels without a segment.
        stuff: Ids of the classes that are not counted.
        band_bytes: About how many bytes of logits may be in memory at a time.
    """
    if logits.channels:
        for rows, band in logits.bands(band_bytes):
            reader.add(rows, band)
    segments, labels = reader.read()
    is_thing = torch.tensor([label not in stuff for label in labels.tolist()], dtype=torch.bool, device=labels.device)
    ids = labels + INSTANCE_OFFSET * torch.where(is_thing, is_thing.cumsum(0), 0)
    ids = torch.cat((ids, ids.new_tensor([num_classes])))  # the last entry is what -1 points to
    panoptic = ids.new_empty(1, *segments.shape)
    for row, own in zip(panoptic[0].split(64), segments.split(64), strict=True):  # an index is of 8 bytes
        torch.index_select(ids, 0, own.flatten().long() % len(ids), out=row.view(-1))
    return dict(pred_panoptic_seg=PixelData(sem_seg=panoptic))


def _run_lengths(mask: Tensor) -> dict[str, Any]:
    """COCO's run-length encoding of a mask (H, W), bool, which lies column by column in memory."""
    from pycocotools import mask as coco_masks

    return coco_masks.encode(mask.T.cpu().numpy().view(np.uint8).T)


def _reorder_(masks: Tensor, order: Sequence[int]) -> None:
    """``masks[:len(order)] = masks[order]`` for distinct places, with one more mask in memory instead of all."""
    order = [*order, *sorted(set(range(len(masks))) - set(order))]
    done = [False] * len(order)
    for start in range(len(order)):
        if done[start] or order[start] == start:
            continue
        held, place = masks[start].clone(), start
        while not done[place]:
            done[place], source = True, order[place]
            masks[place] = held if source == start else masks[source]
            place = source

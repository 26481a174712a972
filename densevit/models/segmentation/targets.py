"""Ground truth of data samples as segments."""
from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ...networks.segmentation import MaskTarget

_TASKS = ('semantic', 'instance', 'panoptic')


def build_targets(
    samples: Sequence[BaseDataElement],
    task: str,
    num_classes: int,
    ignore_index: int = 255,
    stuff_classes: Collection[int] = (),
) -> list[MaskTarget]:
    """Build the segments of each image, at the size of the images of the batch.

    Args:
        samples: The data samples of the images.
        task: ``'semantic'`` makes one segment of each class in ``gt_sem_seg``; ``'instance'`` takes ``gt_instances``;
            ``'panoptic'`` takes ``gt_instances``, and one segment of each stuff class in ``gt_sem_seg``, which also
            holds things that are no instance (crowds).
        num_classes: The number of classes, C.
        ignore_index: Label of pixels that belong to no class.
        stuff_classes: Ids of the classes that are not counted.

    Raises:
        ValueError: A label is outside [0, num_classes), or the task is unknown.
    """
    check_task(task)
    targets = []
    for sample in samples:
        parts = []
        if task in ('instance', 'panoptic'):
            parts.append(_instances(sample))
        if task in ('semantic', 'panoptic'):
            parts.append(_classes(sample, ignore_index, stuff_classes if task == 'panoptic' else None))
        target = MaskTarget(*(torch.cat(part) for part in zip(*parts, strict=True)))
        where = sample.get('seg_map_path', None) or sample.get('img_path', 'a sample')
        check_labels(target.labels, num_classes, ignore_index, where)
        targets.append(target)
    return targets


def check_task(task: str) -> None:
    """See that a task is one of those of :func:`build_targets`.

    Raises:
        ValueError: It is not.
    """
    if task not in _TASKS:
        raise ValueError(f"task='{task}': choose {', '.join(map(repr, _TASKS))}")


def _instances(sample: BaseDataElement) -> MaskTarget:
    instances = sample.gt_instances
    masks = instances.masks
    if not isinstance(masks, Tensor):  # mmdet's BitmapMasks or PolygonMasks
        masks = masks.to_tensor(torch.bool, instances.labels.device)
    return MaskTarget(instances.labels, masks)


def _classes(sample: BaseDataElement, ignore_index: int, only: Collection[int] | None) -> MaskTarget:
    semantic = sample.gt_sem_seg  # mmdetection calls the map sem_seg, mmsegmentation data
    classes = (semantic.sem_seg if 'sem_seg' in semantic else semantic.data).squeeze(0).long()
    labels = present_labels(classes)
    labels = labels[labels != ignore_index]
    if only is not None:
        labels = labels[torch.isin(labels, labels.new_tensor(sorted(only)))]
    return MaskTarget(labels, classes == labels[:, None, None])


def present_labels(classes: Tensor) -> Tensor:
    """The labels that a map holds, sorted: ``unique``, by counting, which is far faster for the few values of maps."""
    if classes.numel() and classes.min() >= 0 and classes.max() < 65536:
        return classes.flatten().bincount().nonzero().flatten()
    return classes.unique()


def check_labels(labels: Tensor, num_classes: int, ignore_index: int, where: str) -> None:
    """See that labels are classes of the model.

    Raises:
        ValueError: A label is outside [0, num_classes) and is not ``ignore_index``.
    """
    wrong = labels[((labels < 0) | (labels >= num_classes)) & (labels != ignore_index)]
    if len(wrong):
        raise ValueError(
            f'{where} holds label {int(wrong[0])}, but the model has classes 0 to {num_classes - 1} and '
            f'ignore_index={ignore_index}: correct the labels, map them in the dataset, or set num_classes')

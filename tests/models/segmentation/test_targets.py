"""Ground truth as segments."""
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from densevit.models.segmentation.targets import build_targets, present_labels


def semantic_sample(labels, **meta):
    return BaseDataElement(metainfo=meta, gt_sem_seg=PixelData(data=torch.tensor(labels)[None]))


def test_semantic_one_segment_per_class_without_the_ignored():
    target, = build_targets([semantic_sample([[2, 2, 255], [0, 2, 255]])], 'semantic', 4)
    assert target.labels.tolist() == [0, 2]
    assert target.masks.tolist() == [[[False] * 3, [True, False, False]], [[True, True, False], [False, True, False]]]


def test_semantic_nothing_but_ignored():
    target, = build_targets([semantic_sample([[255, 255]])], 'semantic', 4)
    assert target.labels.shape == (0, ) and target.masks.shape == (0, 1, 2)


def instance_sample():
    masks = torch.zeros(2, 2, 4, dtype=torch.bool)
    masks[0, :, 0], masks[1, :, 1] = True, True
    instances = InstanceData(labels=torch.tensor([3, 3]), masks=masks)
    semantic = torch.tensor([[3, 3, 1, 255], [3, 3, 1, 0]])
    return BaseDataElement(gt_instances=instances, gt_sem_seg=PixelData(data=semantic[None]))


def test_instances_keep_their_own_masks():
    target, = build_targets([instance_sample()], 'instance', 4)
    assert target.labels.tolist() == [3, 3] and target.masks.sum((1, 2)).tolist() == [2, 2]


def test_panoptic_adds_stuff_behind_the_instances():
    target, = build_targets([instance_sample()], 'panoptic', 4, stuff_classes={1, 2})
    assert target.labels.tolist() == [3, 3, 1]  # 0 is a thing that is no instance: a crowd
    assert target.masks.sum((1, 2)).tolist() == [2, 2, 2]


def test_mmdets_bitmap_masks():
    structures = pytest.importorskip('mmdet.structures.mask', reason='needs mmdet')
    sample = instance_sample()
    bitmaps = structures.BitmapMasks(sample.gt_instances.masks.numpy().astype(np.uint8), 2, 4)
    # InstanceData checks lengths only.
    bitmap_sample = BaseDataElement(gt_instances=InstanceData(labels=torch.tensor([3, 3]), masks=bitmaps))
    expected, = build_targets([sample], 'instance', 4)
    actual, = build_targets([bitmap_sample], 'instance', 4)
    assert torch.equal(actual.masks, expected.masks)


def test_a_label_outside_the_classes_names_file_label_and_remedy():
    for label in (4, 200, -1):
        sample = semantic_sample([[0, label]], seg_map_path='labels/a.png')
        with pytest.raises(ValueError, match=f'labels/a.png holds label {label}, but the model has .* 0 to 3.*num_cl'):
            build_targets([sample], 'semantic', 4)


def test_present_labels_is_unique():
    for classes in (torch.tensor([[5, 2], [2, 255]]), torch.tensor([[-3, 2]]), torch.tensor([[70000, 1]])):
        assert torch.equal(present_labels(classes), classes.unique())

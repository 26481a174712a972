"""Masks that are kept as run lengths are the masks."""
from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from densevit.inference.instances import InstanceMasks

SIZE = (23, 31)


@pytest.fixture
def masks() -> np.ndarray:
    """An empty one, a full one, single pixels in corners, whole columns, noise, and blobs that touch borders."""
    generator = np.random.default_rng(0)
    masks = np.zeros((12, *SIZE), bool)
    masks[1] = True
    masks[2, 0, 0] = masks[3, -1, -1] = masks[4, 0, -1] = True
    masks[5, :, 4:7] = masks[6, 10:, 4] = masks[6, :9, 5] = True
    masks[7:9] = generator.uniform(0, 1, (2, *SIZE)) > .5
    masks[9, :8, 20:] = masks[10, 15:, :3] = masks[11, 5:9, 7:20] = True
    return masks


def test_they_come_back(masks):
    kept = InstanceMasks.of(masks, SIZE)
    assert kept.shape == masks.shape and kept.dtype == bool and len(kept) == 12
    np.testing.assert_array_equal(kept, masks)
    for index in (3, -1, np.int64(7)):
        np.testing.assert_array_equal(kept[index], masks[index])
    for index in ([5, 1, 1], slice(2, 9, 3), masks.any((1, 2)), np.array([], int)):
        np.testing.assert_array_equal(kept[index], masks[index])
    with pytest.raises(IndexError):
        kept[12]


def test_run_lengths_are_those_of_pycocotools(masks):
    kept = InstanceMasks.of(masks, SIZE)
    for index, mask in enumerate(masks):
        expected = coco_masks.encode(np.asfortranarray(mask, np.uint8))
        assert kept.run_lengths(index) == dict(
            area=float(mask.sum()), segmentation=dict(size=[23, 31], counts=expected['counts'].decode()))


def test_moved_to_a_larger_picture(masks):
    moved, expected = InstanceMasks.of(masks, SIZE).moved(7, 11, (40, 50)), np.zeros((12, 40, 50), bool)
    expected[:, 7:30, 11:42] = masks
    np.testing.assert_array_equal(moved, expected)
    both = InstanceMasks.together([moved, InstanceMasks((40, 50)), moved[:1]])
    assert both.shape == (13, 40, 50)


def test_unions(masks):
    kept = InstanceMasks.of(masks, SIZE)
    groups = [[3], [2, 3, 4], [0, 0], [0, 6], [7, 11]]
    expected = np.stack([masks[group].any(0) for group in groups])
    np.testing.assert_array_equal(kept.unions(groups), expected)

from __future__ import annotations

import warnings

import numpy as np
import pytest

from densevit.datasets import AlbumentationsTransform


def sample():
    """A picture whose red channel is its label map."""
    labels = np.random.default_rng(0).integers(0, 10, (8, 10)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    image = np.zeros((*labels.shape, 3), np.uint8)
    image[..., 2] = 20 * labels  # BGR
    return dict(img=image, gt_seg_map=labels, seg_fields=['gt_seg_map'], img_shape=labels.shape)


def test_image_and_labels_move_together():
    transform = AlbumentationsTransform([dict(type='Affine', rotate=(20, 20), interpolation=0, p=1)])
    results = transform(sample())
    labels, red = results['gt_seg_map'], results['img'][..., 2]
    inside = labels != 255
    assert (labels != sample()['gt_seg_map']).any()
    assert (~inside).any()  # corners come from outside
    np.testing.assert_array_equal(red[inside], 20 * labels[inside])
    assert (red[~inside] == 0).all()


def test_colours_are_rgb_for_albumentations_and_labels_stay():
    results = AlbumentationsTransform([dict(type='RGBShift', r_shift_limit=(5, 5), g_shift_limit=(0, 0),
                                            b_shift_limit=(0, 0), p=1)])(sample())
    np.testing.assert_array_equal(results['img'][..., 2], sample()['img'][..., 2] + 5)
    np.testing.assert_array_equal(results['img'][..., 0], 0)
    np.testing.assert_array_equal(results['gt_seg_map'], sample()['gt_seg_map'])


def test_repeats_itself_from_numpys_seed():
    transform = AlbumentationsTransform([dict(type='Affine', rotate=(-45, 45), p=1)])
    images = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        images.append(transform(sample())['img'])
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_fill_is_for_transforms_that_have_one():
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # albumentations warns of arguments that it does not know
        transform = AlbumentationsTransform([dict(type='HorizontalFlip', p=1), dict(type='Affine', p=1)], seg_fill=7)
    assert transform.compose.transforms[1].fill_mask == 7
    np.testing.assert_array_equal(transform(sample())['gt_seg_map'], sample()['gt_seg_map'][:, ::-1])


@pytest.mark.parametrize('name', ['HorizontalFlipp', 'Compose', 'cv2'])
def test_unknown_transform(name):
    meant = ".*did you mean 'HorizontalFlip'" if 'Flip' in name else ''
    with pytest.raises(ValueError, match=f"no transform '{name}'{meant}"):
        AlbumentationsTransform([dict(type=name)])

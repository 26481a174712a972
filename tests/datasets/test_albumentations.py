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


def with_instances(names=('gt_masks', 'gt_seg_map')):
    """Two squares, of which the first touches the left border, in the picture and in all annotations."""
    masks = pytest.importorskip('mmdet.structures.mask', reason='needs mmdet')
    image, squares = np.zeros((40, 60, 3), np.uint8), np.zeros((2, 40, 60), np.uint8)
    squares[0, 5:15, :8] = squares[1, 20:36, 30:50] = 1
    image[..., 2] = 100 * squares[0] + 200 * squares[1]
    squares = masks.BitmapMasks(squares, 40, 60)
    every = dict(gt_masks=squares, gt_seg_map=np.where(image[..., 2] > 0, image[..., 2] // 100, 255).astype(np.uint8))
    return dict({name: every[name] for name in names}, img=image, img_shape=(40, 60),
                gt_bboxes=squares.get_bboxes('hbox'), gt_bboxes_labels=np.array([1, 2]),
                gt_ignore_flags=np.array([False, False]))


@pytest.mark.parametrize('fill', [255, 1, 0])
def test_instances_move_and_those_moved_out_are_removed(fill):
    shift = dict(type='Affine', translate_px=dict(x=(-10, -10), y=(3, 3)), rotate=(4, 4), interpolation=0, p=1)
    results = AlbumentationsTransform([shift], seg_fill=fill)(with_instances())
    red = results['img'][..., 2]
    assert results['gt_bboxes_labels'].tolist() == [2] and not (red == 100).any()
    np.testing.assert_array_equal(results['gt_masks'].masks[0], red == 200)
    np.testing.assert_array_equal(results['gt_seg_map'] == 2, red == 200)
    y, x = np.nonzero(red)
    assert results['gt_bboxes'].tensor.tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
    assert len(results['gt_ignore_flags']) == 1


def test_boxes_without_masks_are_not_left_behind():
    with pytest.raises(ValueError, match='HorizontalFlip to mmdetection'):
        AlbumentationsTransform([dict(type='HorizontalFlip', p=1)])(with_instances(()))
    colours = dict(type='RandomBrightnessContrast', p=1)
    before, after = with_instances(()), AlbumentationsTransform([colours])(with_instances(()))
    assert after['gt_bboxes'].tensor.equal(before['gt_bboxes'].tensor)


def test_unknown_transform():
    for name, meant in (('HorizontalFlipp', ".*did you mean 'HorizontalFlip'"), ('Compose', ''), ('cv2', '')):
        with pytest.raises(ValueError, match=f"no transform '{name}'{meant}"):
            AlbumentationsTransform([dict(type=name)])

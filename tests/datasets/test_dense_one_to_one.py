"""Mosaics and the stages of DEIM's augmentation: objects stay in their boxes, samples follow from seed and position."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from rectangles import assert_boxes_fit, pixels_of, write_rectangles
from torch.utils.data import BatchSampler, DataLoader

pytest.importorskip('mmdet')

from densevit.datasets import AffineMosaic, CocoInstanceDataset, DenseOneToOne, InStages, PositionSampler
from densevit.datasets.common.seeding import SeededIndex

BOXES = dict(type='mmdet.LoadAnnotations', with_bbox=True)
MASKS = dict(BOXES, with_mask=True)
STARTS = (.1, .5, .9)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_rectangles(tmp_path_factory.mktemp('rectangles') / 'data')


def dataset(folder, *transforms, load=BOXES):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return CocoInstanceDataset(
            'instances.json', data_root=str(folder), data_prefix=dict(img='images'), with_masks='with_mask' in load,
            pipeline=[dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'), load, *transforms])


def rgb(results):
    return results['img'][..., ::-1]


@pytest.mark.parametrize('index', [0, 1, 2])  # 1 has no objects
@pytest.mark.parametrize('seed', range(4))
def test_boxes_of_a_mosaic_follow_their_objects(folder, index, seed):
    """Upright: a box around what a border cuts off a turned rectangle is larger than that."""
    found = dataset(folder, dict(type='densevit.AffineMosaic', size=160, rotation=0))[SeededIndex(index, seed)]
    boxes = found['gt_bboxes'].numpy()
    assert len(boxes) == len(found['gt_bboxes_labels']) == len(found['gt_ignore_flags']) > 0
    height, width = found['img_shape']
    assert found['img'].shape == (height, width, 3) and height >= 320 and width >= 320
    assert (boxes >= 0).all() and (boxes <= (width, height, width, height)).all()
    assert_boxes_fit(rgb(found), boxes, found['gt_bboxes_labels'])


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('options', [{}, dict(poly2mask=False)], ids=['bitmaps', 'polygons'])
def test_masks_of_a_turned_mosaic_follow_their_objects(folder, options, seed):
    found = dataset(folder, dict(type='densevit.AffineMosaic', size=160, rotation=30), load={**MASKS, **options})[
        SeededIndex(0, seed)]
    image, labels, masks = rgb(found), found['gt_bboxes_labels'], found['gt_masks'].masks.astype(bool)
    assert_boxes_fit(image, found['gt_bboxes'].numpy(), labels)
    for label in range(5):
        shown, own = pixels_of(image, label), masks[labels == label].any(0)
        assert (shown ^ own).sum() <= .15 * own.sum()  # the interpolated pixels of edges
    assert (masks.reshape(len(masks), -1).any(1)).all()


def test_turned_boxes_are_those_of_torchvision(folder, monkeypatch):
    """The same angle, shift and scale."""
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import functional
    mosaic = AffineMosaic()
    draws = iter([-8., .7, .06, -.09])
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: next(draws))
    height, width = 60, 90
    matrix = mosaic._matrix(height, width)
    found = dataset(folder)[0]
    found.update(img=np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8), img_shape=(height, width))
    found['gt_bboxes'].tensor = torch.tensor([[3., 5., 40., 21.], [50., 20., 88., 58.], [0., 40., 10., 60.]])
    boxes = tv_tensors.BoundingBoxes(found['gt_bboxes'].tensor.clone(), format='XYXY', canvas_size=(height, width))
    expected = functional.affine(boxes, -8., [round(.06 * width), round(-.09 * height)], .7, [0., 0.])
    image = functional.affine(torch.from_numpy(found['img']).permute(2, 0, 1), -8.,
                              [round(.06 * width), round(-.09 * height)], .7, [0., 0.],
                              interpolation=functional.InterpolationMode.BILINEAR, fill=0.)
    mosaic._move(found, matrix)
    assert np.abs(found['gt_bboxes'].numpy() - expected.numpy()).max() < 1e-3
    difference = np.abs(found['img'].astype(float) - image.permute(1, 2, 0).numpy())
    assert np.median(difference) <= 2 and (difference > 12).mean() < .05  # OpenCV's weights are multiples of 1/32


def test_mosaic_without_a_dataset_or_with_a_label_map_is_refused(folder):
    found = dataset(folder)[0]
    with pytest.raises(ValueError, match='use densevit.CocoInstanceDataset'):
        AffineMosaic()(found)
    with pytest.raises(ValueError, match='with_seg=False'):
        AffineMosaic()(dict(found, gt_seg_map=0))


class Mark:
    """Tells which stage a sample was made in."""

    def __init__(self, name):
        self.name = name

    def __call__(self, results):
        return dict(results, mark=self.name)


def test_stages_begin_at_their_share_of_the_run():
    """At the very iteration, as the schedules of learning rates and ``set_progress`` count it."""
    stages = InStages([(0, []), (4 / 132, []), (64 / 132, []), (120 / 132, [])])
    stages.transforms = [Mark(name) for name in 'abcd']
    sampler = PositionSampler(range(5), seed=0)
    sampler.tell_length(batch_size=2, max_iters=132)
    marks = [stages(dict(sample_idx=index))['mark'] for index in itertools.islice(sampler, 264)]
    assert ''.join(marks) == 'a' * 8 + 'b' * 120 + 'c' * 112 + 'd' * 24
    assert stages(dict(sample_idx=3))['mark'] == stages(dict(sample_idx=SeededIndex(3, 0)))['mark'] == 'd'
    for wrong in ([], [(.1, [])], [(0, []), (.5, []), (.2, [])], [(0, []), (64, [])], [(0, []), (0, [])]):
        with pytest.raises(ValueError, match='ascend from 0'):
            InStages(wrong)


def test_each_stage_has_its_augmentation(folder):
    """A mosaic shows four images; zoom-out and crop change the size; the first and last stage change nothing."""
    plain = dataset(folder)[0]
    data = dataset(folder, dict(type='densevit.DenseOneToOne', starts=STARTS, size=100))
    sizes = {}
    for stage, progress in enumerate((.05, .3, .7, .95)):
        found = [data[SeededIndex(0, seed, progress=progress)] for seed in range(40)]
        same = [np.array_equal(each['img'], plain['img']) for each in found]
        assert all(same) if stage in (0, 3) else sum(same) < 4
        sizes[stage] = [each['img_shape'] for each in found]
    is_mosaic = [max(shape) > 190 and min(shape) >= 200 for shape in sizes[1]]
    assert 10 < sum(is_mosaic) < 32
    assert len(set(sizes[2])) > 15


def test_boxes_and_masks_stay_together_in_all_stages(folder):
    data = dataset(folder, dict(type='densevit.DenseOneToOne', starts=STARTS, size=100), load=MASKS)
    for seed in range(12):
        found = data[SeededIndex(seed % 6, seed, progress=(.3, .7)[seed % 2])]
        assert len(found['gt_bboxes']) == len(found['gt_bboxes_labels']) == len(found['gt_ignore_flags'])
        for box, mask in zip(found['gt_bboxes'].numpy(), found['gt_masks'].masks, strict=True):
            rows, columns = mask.nonzero()
            tight = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(box - tight).max() <= 1.5


def batches(folder, num_workers, skip=0, count=6):
    data = dataset(folder, dict(type='densevit.DenseOneToOne', starts=STARTS, size=64),
                   dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=False),
                   dict(type='mmdet.RandomFlip', prob=.5), dict(type='mmdet.PackDetInputs'))
    sampler = PositionSampler(data, seed=5)
    sampler.tell_length(3, count)
    sampler.skip(3 * skip)
    with DefaultScope.overwrite_default_scope('mmdet'):
        loader = DataLoader(data, batch_sampler=BatchSampler(sampler, 3, False), num_workers=num_workers,
                            collate_fn=pseudo_collate, persistent_workers=num_workers > 0)
        return list(itertools.islice(loader, count - skip))


def test_same_batches_with_any_number_of_workers_and_after_a_resume(folder):
    expected = batches(folder, 0)
    assert len({each['inputs'][0].float().mean().item() for each in expected}) == 6
    for options in (dict(num_workers=2), dict(num_workers=2, skip=2), dict(num_workers=0, skip=4)):
        found = batches(folder, **options)
        for own, other in zip(found, expected[options.get('skip', 0):], strict=True):
            for image, same in zip(own['inputs'], other['inputs'], strict=True):
                assert torch.equal(image, same)
            for sample, same in zip(own['data_samples'], other['data_samples'], strict=True):
                assert torch.equal(sample.gt_instances.bboxes.tensor, same.gt_instances.bboxes.tensor)
                assert torch.equal(sample.gt_instances.labels, same.gt_instances.labels)


def test_repr_names_the_stages():
    assert '(0.1, ' in repr(DenseOneToOne(STARTS))

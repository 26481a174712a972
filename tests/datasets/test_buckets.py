"""Batches of one shape each, whose order depends on seed and position alone."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from coco_like import write_coco_like
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from densevit.datasets import AspectRatioBuckets, CocoInstanceDataset, FitToBucket, PositionSampler
from densevit.datasets.common import buckets, seeding

SHAPES = [(32, 64), (64, 32), (48, 48)]


class Pictures:
    """A dataset that knows the sizes of its images and nothing else."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def get_data_info(self, index: int) -> dict[str, int]:
        height, width = self.sizes[index]
        return dict(height=height, width=width)


MIXED = Pictures(*[(300, 600)] * 7, *[(640, 320)] * 5, *[(500, 480)] * 3, (100, 900), (300, 400))


def batches(count, rank=0, world_size=1, skip=0, batch_size=3, monkeypatch=None, dataset=MIXED, **options):
    if monkeypatch is not None:
        monkeypatch.setattr(seeding, 'get_dist_info', lambda: (rank, world_size))
    sampler = AspectRatioBuckets(PositionSampler(dataset, seed=5, **options), batch_size, SHAPES)
    sampler.sampler.skip(skip * batch_size)
    return [[(int(index), index.seed, index.shape) for index in batch] for batch in itertools.islice(sampler, count)]


@pytest.mark.parametrize('options', [{}, dict(shuffle=False), dict(batch_size=4), dict(batch_size=40)])
def test_one_shape_a_batch_and_each_image_once_an_epoch(options):
    """17 images do not divide by the batch: epochs begin within batches."""
    stream = batches(40, **options)
    assert all(len({shape for _, _, shape in batch}) == 1 for batch in stream)
    indices = [index for batch in stream for index, _, _ in batch]
    for start in range(0, len(indices) - 16, 17):
        assert sorted(indices[start:start + 17]) == list(range(17))
    own = [shape == SHAPES[buckets._fits(np.array([MIXED.sizes[i][1] / MIXED.sizes[i][0]]), SHAPES).argmax()]
           for batch in stream for i, _, shape in batch]
    assert np.mean(own) > (.6 if options.get('batch_size', 0) < 40 else .4)


def test_stream_is_shuffled_by_the_seed_and_continues_where_it_was_stopped():
    whole = batches(20)
    assert whole == batches(20)
    for done in (1, 5, 6, 13):  # before, at and behind the end of an epoch
        assert batches(20 - done, skip=done) == whole[done:]
    assert [index for index, _, _ in itertools.chain(*whole[:5])] != [
        index for index, _, _ in itertools.chain(*batches(20, batch_size=3, shuffle=False)[:5])]


def test_two_ranks_have_one_shape_and_share_the_stream(monkeypatch):
    pairs = list(zip(*(batches(15, rank=rank, world_size=2, batch_size=2, monkeypatch=monkeypatch)
                       for rank in range(2)), strict=True))
    assert all(len({shape for batch in pair for _, _, shape in batch}) == 1 for pair in pairs)
    monkeypatch.undo()
    one = batches(15, batch_size=4)
    assert [[first, second, third, fourth] for (first, third), (second, fourth) in pairs] == one


def test_padding_by_hand():
    data = Pictures(*[(100, 200)] * 2, *[(200, 100)] * 2, *[(100, 150)] * 2)
    sampler = AspectRatioBuckets(PositionSampler(data, seed=0), 2, [(32, 64), (64, 32)])
    # 100x150 fills 48 of 64 columns; in a square 1/2, 1/2 and 2/3 are filled.
    assert sampler.sampler.waste() == pytest.approx((1 - (1 + 1 + .75) / 3, 1 - (.5 + .5 + 2 / 3) / 3))


@pytest.mark.parametrize(('number', 'expected'), [(1, [(384, 640)]), (2, [(384, 640), (640, 384)]),
                                                  (9, [(384, 640), (640, 384), (512, 512)])])
def test_shapes_are_chosen_where_they_spare_most(number, expected):
    data = Pictures(*[(300, 500)] * 8, *[(500, 300)] * 4, *[(400, 400)])
    sampler = AspectRatioBuckets(PositionSampler(data, seed=0), 4, number, area=384 * 640, divisor=128)
    assert sampler.sampler.shapes == expected


def test_another_sampler_is_refused():
    with pytest.raises(TypeError, match=r"train_dataloader\.sampler=dict\(type='densevit\.PositionSampler'\)"):
        AspectRatioBuckets(range(3), 2, SHAPES)


@pytest.mark.parametrize('shape', [(32, 80), (80, 32), (48, 48)])
def test_images_keep_their_ratio_and_annotations_follow(tmp_path, shape):
    pytest.importorskip('mmdet')
    data = CocoInstanceDataset(
        'instances.json', data_root=str(write_coco_like(tmp_path / 'data')), data_prefix=dict(img='images'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        pipeline = Compose([dict(type='densevit.LoadImage'),
                            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)])
        before = pipeline(data.get_data_info(1))
        boxes, (height, width) = before['gt_bboxes'].numpy().copy(), before['img_shape']
        after = FitToBucket([shape])(dict(before, sample_idx=seeding.SeededIndex(1, 0, shape), gt_seg_map=np.ones(
            (height, width), np.uint8)))
    scale = min(shape[0] / height, shape[1] / width)
    assert after['img'].shape[:2] == after['gt_seg_map'].shape == after['gt_masks'].masks.shape[1:] == shape
    assert after['img_shape'] == (round(height * scale), round(width * scale))
    assert np.abs(after['gt_bboxes'].numpy() - boxes * scale).max() < 1.5
    high, wide = after['img_shape']
    assert (after['gt_seg_map'][:high, :wide] == 1).all()
    assert (after['gt_seg_map'] == 255).sum() == shape[0] * shape[1] - high * wide
    assert not after['img'][high:].any() and not after['img'][:, wide:].any()


def test_shape_without_a_bucket():
    image = np.zeros((30, 90, 3), np.uint8)
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert FitToBucket(SHAPES)(dict(img=image))['img'].shape[:2] == (32, 64)
        assert FitToBucket()(dict(img=image, sample_idx=0))['img'].shape[:2] == (288, 896)

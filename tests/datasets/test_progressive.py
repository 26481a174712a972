"""Patches that grow and batches that shrink, as a function of seed and iteration alone."""
import itertools

import numpy as np
import pytest
from mmengine.dataset import BaseDataset

from densevit.datasets import JoinedDataset, PairedCrop, PositionSampler, ProgressivePatches
from densevit.datasets.common import seeding

STAGES = [(0, 8, 6), (.3, 12, 4), (.7, 16, 1)]
MAX_ITERS = 10


def stream(count=MAX_ITERS, rank=0, world_size=1, skip=0, batch_size=6, stages=STAGES, size=7, monkeypatch=None):
    if monkeypatch is not None:
        monkeypatch.setattr(seeding, 'get_dist_info', lambda: (rank, world_size))
    batches = ProgressivePatches(PositionSampler(range(size), seed=5), batch_size, stages)
    batches.tell_length(MAX_ITERS)
    batches.skip(skip)
    return [[(int(index), index.seed, index.shape, index.progress) for index in batch]
            for batch in itertools.islice(batches, count)]


def test_sides_and_sizes_of_each_stage():
    found = [(len(batch), {shape for _, _, shape, _ in batch}, {progress for *_, progress in batch})
             for batch in stream()]
    assert found == [(6, {(8, 8)}, {i / 10}) for i in range(3)] + [(4, {(12, 12)}, {i / 10}) for i in range(3, 7)] + [
        (1, {(16, 16)}, {i / 10}) for i in range(7, 10)]
    assert [len(batch) for batch in stream(batch_size=3)] == [3] * 3 + [2] * 4 + [1] * 3  # never none


def test_images_are_those_of_the_sampler_without_a_gap():
    found = [entry[:2] for batch in stream() for entry in batch]
    expected = [(int(index), index.seed) for index in itertools.islice(PositionSampler(range(7), seed=5), len(found))]
    assert found == expected


@pytest.mark.parametrize('done', (1, 2, 3, 5, 7, 9))
def test_stream_continues_where_it_was_stopped(done):
    """Before, at and behind the beginning of a stage."""
    assert stream(MAX_ITERS - done, skip=done) == stream()[done:]


def test_processes_share_the_stream(monkeypatch):
    pairs = list(zip(*(stream(rank=rank, world_size=2, batch_size=3, monkeypatch=monkeypatch, skip=4, count=6)
                       for rank in range(2)), strict=True))
    monkeypatch.undo()
    assert [len(first) for first, _ in pairs] == [2, 2, 2, 1, 1, 1]
    joined = [entry[:2] for pair in pairs for both in zip(*pair, strict=True) for entry in both]
    whole = [entry[:2] for batch in stream(stages=[(0, 8, 6)], count=20) for entry in batch]
    assert joined == whole[2 * (3 * 3 + 2):][:len(joined)]


def test_a_papers_iterations_are_met_exactly():
    stages = [(0, 128, 64), *((first / 300000, 160, 40) for first in (92000, 156000, 204000, 240000, 276000))]
    batches = ProgressivePatches(PositionSampler(range(7), seed=5), 8, stages)
    batches.tell_length(300000)
    batches.skip(91999)
    assert [len(batch) for batch in itertools.islice(batches, 2)] == [8, 5]
    assert batches._firsts() == [0, 92000, 156000, 204000, 240000, 276000]


def test_a_crop_takes_the_side_of_its_batch_and_else_its_own():
    image = np.arange(40 * 50 * 3).reshape(40, 50, 3)
    index = seeding.SeededIndex(3, 0, (24, 24))
    for options, side in (({}, 24), (dict(sample_idx=3), 16), (dict(margin=4), 32)):
        results = dict(img=image, gt_img=image, sample_idx=options.pop('sample_idx', index))
        assert PairedCrop(16, **options)(results)['img'].shape == (side, side, 3)
    with pytest.raises(ValueError, match='24 pixels .* multiple of the scale 5'):
        PairedCrop(20)(dict(img=image[::5, ::5], gt_img=image, sample_idx=index))


def test_joined_data_sets_keep_what_an_index_says():
    class Index(BaseDataset):

        def load_data_list(self):
            return [{}] * 3

        def __getitem__(self, index):
            return index

    joined = JoinedDataset([Index(), Index()])
    index = joined[seeding.SeededIndex(4, 9, (24, 24), .5)]
    assert (int(index), index.seed, index.shape, index.progress) == (1, 9, (24, 24), .5)
    other = Index()
    joined = JoinedDataset([Index(), other])
    other.__class__ = type('Other', (Index, ), dict(__getitem__=lambda self, index: ('other', index)))
    assert [joined[index] for index in (-1, -3, -4, -6)] == [('other', 2), ('other', 0), 2, 0]
    _, index = joined[seeding.SeededIndex(-1, 9)]
    assert (int(index), index.seed) == (2, 9)
    for index in (6, -7):
        with pytest.raises(IndexError, match=f'no sample {index} of 6'):
            joined[index]


def test_what_cannot_be_a_course():
    sampler = PositionSampler(range(7), seed=5)
    for stages in ([], [(.1, 8, 2)], [(0, 8, 4), (.5, 12, 2), (.4, 16, 1)], [(0, 8, 4), (92000, 12, 2)]):
        with pytest.raises(ValueError, match='92000 / max_iters'):
            ProgressivePatches(sampler, 4, stages)
    with pytest.raises(ValueError, match='sides and images from 1'):
        ProgressivePatches(sampler, 4, [(0, 8, 0)])
    with pytest.raises(TypeError, match=r"sampler=dict\(type='densevit\.PositionSampler'\)"):
        ProgressivePatches(range(7), 4, STAGES)
    with pytest.raises(RuntimeError, match=r"train_cfg\.type='densevit\.SeededIterLoop'"):
        next(iter(ProgressivePatches(sampler, 4, STAGES)))

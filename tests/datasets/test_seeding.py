from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

from densevit.datasets import PositionSampler, SeedAugmentation
from densevit.datasets.common import seeding


def stream(size=5, count=20, seed=3, rank=0, world_size=1, skip=0, monkeypatch=None, **kwargs):
    if monkeypatch is not None:
        monkeypatch.setattr(seeding, 'get_dist_info', lambda: (rank, world_size))
    sampler = PositionSampler(range(size), seed=seed, **kwargs)
    sampler.skip(skip)
    return [(int(index), index.seed) for index in itertools.islice(sampler, count)]


def test_every_epoch_has_every_sample_once():
    indices = [index for index, _ in stream()]
    epochs = [indices[start:start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_stream_depends_on_the_seed_alone():
    assert stream() == stream()
    assert stream() != stream(seed=4)
    assert len({seed for _, seed in stream()}) == 20


def test_skipping_continues_the_stream():
    assert stream(count=13, skip=7) == stream()[7:]


@pytest.mark.parametrize('skip', [0, 3])
def test_processes_share_the_stream(monkeypatch, skip):
    whole = stream()
    parts = [stream(count=10 - skip, rank=rank, world_size=2, skip=skip, monkeypatch=monkeypatch) for rank in range(2)]
    assert [sample for pair in zip(*parts, strict=True) for sample in pair] == whole[2 * skip:]


def test_without_shuffling_the_order_is_that_of_the_data():
    assert [index for index, _ in stream(shuffle=False, count=7)] == [0, 1, 2, 3, 4, 0, 1]


def test_empty_dataset_is_refused():
    with pytest.raises(ValueError, match='no sample: check data_root'):
        PositionSampler([], seed=0)


def test_seed_reaches_workers_and_augmentation():
    index = next(iter(PositionSampler(range(5), seed=0)))
    copy = pickle.loads(pickle.dumps(index))
    assert copy == index and copy.seed == index.seed
    draws = []
    for _ in range(2):
        SeedAugmentation()(dict(sample_idx=copy))
        draws.append((np.random.rand(), torch.rand(()).item()))
    assert draws[0] == draws[1]


def test_progress_is_that_of_the_iteration(monkeypatch):
    """For every process, from any position, and through a pickle; unknown where nobody says how long the run is."""
    for rank in range(2):
        monkeypatch.setattr(seeding, 'get_dist_info', lambda rank=rank: (rank, 2))
        sampler = PositionSampler(range(5), seed=0)
        assert next(iter(sampler)).progress is None
        sampler.tell_length(batch_size=3, max_iters=7)
        sampler.skip(4)
        found = [pickle.loads(pickle.dumps(index)).progress for index in itertools.islice(sampler, 8)]
        assert found == [1 / 7] * 2 + [2 / 7] * 3 + [3 / 7] * 3


def test_augmentation_without_a_seed_draws_on():
    np.random.seed(0)
    first = np.random.rand()
    SeedAugmentation()(dict(sample_idx=3))
    assert np.random.rand() != first


def test_what_validation_draws_is_fixed():
    """By the number of the sample, with a seed of one's own; a position in the run is before it."""
    def draw(index, fixed=3):
        SeedAugmentation(fixed=fixed)(dict(sample_idx=index))
        return np.random.rand()

    assert draw(0) == draw(0) != draw(1) and draw(0, 4) != draw(0)
    position = next(iter(PositionSampler(range(5), seed=0)))
    assert draw(position) == draw(position, None)

"""Mix-up, copy-blend and sizes of batches: objects stay in their boxes, the authors' pixels, windows of the run."""
from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from networks.detection.official_deim import official_deim

from densevit.models.detection import MixUpOrCopyBlend, MultiScaleBatch
from densevit.models.detection.batch_mixing import Paste, copy_blend, mix_up
from densevit.registry import MODELS

structures = pytest.importorskip('mmdet.structures')
masks_of = pytest.importorskip('mmdet.structures.mask')


BOXES = [[[2.6, 3.5, 20.4, 17.7], [30.2, 10.6, 46.5, 29.6]], [], [[5.5, 6.4, 25.6, 28.6]],
         [[0.3, 0.6, 9.6, 30.4], [20.4, 1.7, 47.8, 12.4], [40.5, 20.4, 45.3, 23.5]]]  # the last is small
HEIGHT, WIDTH = 32, 48


def batch(kind=None, seed=0):
    """Four images of noise whose objects are brighter."""
    images = torch.rand(4, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)) * .1
    samples = []
    for image, boxes in zip(images, BOXES, strict=True):
        masks = np.zeros((len(boxes), HEIGHT, WIDTH), np.uint8)
        polygons = []
        for mask, (x0, y0, x1, y1) in zip(masks, np.array(boxes).reshape(-1, 4).astype(int), strict=True):
            image[:, y0:y1, x0:x1] += .5
            mask[y0:y1, x0:x1] = 1
            polygons.append([np.array([x0, y0, x1, y0, x1, y1, x0, y1], float)])
        instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4),
                                 labels=torch.arange(len(boxes)) + 10 * len(samples))
        if kind is not None:
            instances.masks = (masks_of.BitmapMasks(masks, HEIGHT, WIDTH) if kind == 'bitmaps' else
                               masks_of.PolygonMasks(polygons, HEIGHT, WIDTH))
        samples.append(structures.DetDataSample(
            gt_instances=instances, ignored_instances=instances[:0], metainfo=dict(img_shape=(HEIGHT, WIDTH))))
    return images, samples


def in_shares(samples):
    """The authors' targets."""
    sides = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    targets = []
    for sample in samples:
        boxes, labels = sample.gt_instances.bboxes, sample.gt_instances.labels
        sizes = boxes[:, 2:] - boxes[:, :2]
        targets.append(dict(boxes=torch.cat((boxes[:, :2] + sizes / 2, sizes), 1) / sides, labels=labels,
                            area=sizes.prod(1)))
    return targets


class Recorder:
    """Python's generator, whose draws are written down."""

    def __init__(self):
        self.draws = []
        self.generator = random.Random(0)

    def __getattr__(self, name):
        def draw(*args):
            self.draws.append((name, getattr(self.generator, name)(*args)))
            return self.draws[-1][1]
        return draw

    def of(self, name):
        return [value for kind, value in self.draws if kind == name]


def compare(images, samples, expected, targets):
    torch.testing.assert_close(images, expected)
    for target, theirs in zip(in_shares(samples), targets, strict=True):
        torch.testing.assert_close(target['boxes'], theirs['boxes'].reshape(-1, 4), atol=1e-5, rtol=0)
        assert torch.equal(target['labels'], theirs['labels'])


def test_mix_up_is_the_authors(monkeypatch):
    official, recorder = official_deim().dataloader, Recorder()
    monkeypatch.setattr(official, 'random', recorder)
    collate = official.BatchImageCollateFunction(mixup_prob=1., mixup_epochs=[0, 1])
    collate.set_epoch(0)
    images, samples = batch()
    expected, targets = collate.apply_mixup(images.clone(), in_shares(samples))
    compare(mix_up(images, samples, recorder.of('uniform')[-1]), samples, expected, targets)


@pytest.mark.parametrize('seed', range(3))
def test_copy_blend_is_the_authors(monkeypatch, seed):
    official, recorder = official_deim().dataloader, Recorder()
    recorder.generator.seed(seed)
    monkeypatch.setattr(official, 'random', recorder)
    collate = official.BatchImageCollateFunction(
        mixup_prob=0., copyblend_prob=1., copyblend_epochs=[0, 1], area_threshold=100, num_objects=3, with_expand=True)
    collate.set_epoch(0)
    images, samples = batch()
    expected, targets = collate.apply_mixup(images.clone(), in_shares(samples))
    pool = [(image, index) for image, target in enumerate(in_shares(samples))
            for index in range(len(target['labels'])) if target['area'][index] >= 100]
    ratio, *margins = recorder.of('uniform')
    corners, margins = recorder.of('randint'), iter(margins)
    places = zip(corners[::2], corners[1::2], strict=True)
    pastes = [[Paste(*pool[place], next(places), next(margins)) for place in chosen]
              for chosen in recorder.of('sample')]
    assert len(pool) == 5 and [len(own) for own in pastes] == [3] * 4
    compare(copy_blend(images, samples, pastes, ratio), samples, expected, targets)


@pytest.mark.parametrize('side', [320, 640, 800])
@pytest.mark.parametrize('repeat', [3, 20])
def test_sizes_are_the_authors(side, repeat):
    assert MultiScaleBatch(repeat=repeat).sizes(side) == official_deim().dataloader.generate_scales(side, repeat)


def assert_masks_fit(samples, size):
    """Masks are where boxes are, but for less than two pixels."""
    for sample in samples:
        instances = sample.gt_instances
        masks = instances.masks.to_ndarray()
        assert masks.shape == (len(instances), *size)
        for mask, box in zip(masks, instances.bboxes.tolist(), strict=True):
            rows, columns = mask.nonzero()
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(np.array(tight) - box).max() < 2


@pytest.mark.parametrize('kind', ['bitmaps', 'polygons'])
@pytest.mark.parametrize('options', [dict(mix_up=1.), dict(mix_up=0., copy_blend=1.)], ids=['mix-up', 'copy-blend'])
def test_masks_stay_with_their_boxes_in_a_padded_batch(kind, options):
    images, samples = batch(kind)
    padded = torch.nn.functional.pad(images, (0, 16, 0, 32))
    mixed, samples = MixUpOrCopyBlend(**options)(padded, samples)
    assert mixed.shape == padded.shape and not mixed[..., HEIGHT:, :].any()
    assert [len(sample.gt_instances) for sample in samples] == ([5, 2, 1, 4] if options['mix_up'] else [5, 3, 4, 6])
    assert_masks_fit(samples, (64, 64))
    for sample in samples:
        assert (sample.gt_instances.bboxes[:, 2:] <= torch.tensor([WIDTH, HEIGHT])).all()


def test_blended_objects_are_seen_where_their_boxes_are():
    """One bright object blended onto black."""
    images, samples = torch.zeros(2, 3, HEIGHT, WIDTH), batch()[1][:2]
    samples[0].gt_instances = samples[0].gt_instances[:1]
    images[0, :, 3:17, 2:20] = 1.
    blend = MixUpOrCopyBlend(mix_up=0., copy_blend=1., margins=(.2, .2))
    for _ in range(5):
        ours = [sample.clone() for sample in samples]
        mixed, ours = blend(images, ours)
        x0, y0, x1, y1 = ours[1].gt_instances.bboxes[0].int().tolist()
        rows, columns = (mixed[1, 0] > .4).nonzero().T
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert .45 <= mixed[1].max() <= .55


@pytest.mark.parametrize('kind', [None, 'bitmaps', 'polygons'])
def test_resized_batches_keep_their_objects(kind):
    resize, seen = MultiScaleBatch(repeat=1, step=16), set()
    for seed in range(12):
        images, samples = batch(kind)
        samples[0].ignored_instances = samples[0].gt_instances.clone()
        torch.manual_seed(seed)
        resized, samples = resize(images, samples)
        height, width = resized.shape[-2:]
        seen.add((height, width))
        factors = torch.tensor([width / WIDTH, height / HEIGHT] * 2)
        for sample, boxes in zip(samples, BOXES, strict=True):
            torch.testing.assert_close(sample.gt_instances.bboxes, torch.tensor(boxes).reshape(-1, 4) * factors)
            assert sample.img_shape == (height, width)
        torch.testing.assert_close(samples[0].ignored_instances.bboxes, samples[0].gt_instances.bboxes)
        if kind:
            assert_masks_fit(samples, (height, width))
    assert seen == {(16, 32), (32, 32), (32, 48)} or len(seen) > 1


def changed(module, progress, seed):
    """What a batch becomes: 'mixed', 'blended', 'resized' or ''."""
    module.set_progress(progress)
    images, samples = batch()
    torch.manual_seed(seed)
    mixed, after = module(images, samples)
    if mixed.shape != images.shape:
        return 'resized'
    counts = [len(sample.gt_instances) for sample in after]
    return {(2, 0, 1, 3): '', (5, 2, 1, 4): 'mixed', (5, 3, 4, 6): 'blended'}[tuple(counts)]


def test_windows_and_probabilities_hold():
    mixing = MixUpOrCopyBlend(mix_up_during=(4 / 132, 64 / 132), copy_blend_during=(4 / 132, 120 / 132))
    kinds = {epoch: [changed(mixing, epoch / 132, seed) for seed in range(80)] for epoch in (3, 4, 63, 64, 119, 120)}
    for epoch, least, most in ((4, .35, .65), (63, .35, .65)):
        assert least < np.mean([kind == 'mixed' for kind in kinds[epoch]]) < most
        assert .12 < np.mean([kind == 'blended' for kind in kinds[epoch]]) < .4
    for epoch in (64, 119):
        assert 'mixed' not in kinds[epoch] and .35 < np.mean([kind == 'blended' for kind in kinds[epoch]]) < .65
    assert set(kinds[3]) == set(kinds[120]) == {''}
    sizes = MultiScaleBatch(until=120 / 132, repeat=2, step=16)
    kinds = [changed(sizes, 119.9 / 132, seed) for seed in range(40)]
    assert 0 < kinds.count('resized') < 40
    assert {changed(sizes, 120 / 132, seed) for seed in range(20)} == {''}


def test_a_single_image_and_a_batch_without_objects():
    images, samples = batch()
    assert len(MixUpOrCopyBlend(mix_up=1., copy_blend=0.)(images[:1], samples[:1])[1][0].gt_instances) == 2
    for options in (dict(mix_up=1.), dict(mix_up=0., copy_blend=1.)):
        empty = [samples[1].clone(), samples[1].clone()]
        mixed, after = MixUpOrCopyBlend(**options)(images[:2], empty)
        assert [len(sample.gt_instances) for sample in after] == [0, 0]
        assert (mixed != images[:2]).any() == (options['mix_up'] == 1.)


def test_in_mmdetections_preprocessor():
    """Trained batches are augmented, others are not; the hook's method reaches the modules."""
    preprocessor = MODELS.build(dict(
        type='mmdet.DetDataPreprocessor', mean=[0.] * 3, std=[1.] * 3, pad_size_divisor=16,
        batch_augments=[dict(type='densevit.MixUpOrCopyBlend', mix_up=1.), dict(type='densevit.MultiScaleBatch')]))
    images, samples = batch()
    data = dict(inputs=[*images], data_samples=samples)
    assert len(preprocessor(data, False)['data_samples'][0].gt_instances) == 2
    assert len(preprocessor(data, True)['data_samples'][0].gt_instances) == 5
    assert [type(module) for module in preprocessor.modules() if hasattr(type(module), 'set_progress')] == [
        MixUpOrCopyBlend, MultiScaleBatch]

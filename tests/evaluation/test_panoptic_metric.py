"""Panoptic quality: perfect on the truth, panopticapi's own numbers on damaged copies, and the rules one by one."""
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from coco_like import damaged, to_png, write_coco_like
from mmengine.structures import PixelData
from official import assert_golden, importable, repository, write_golden

from densevit.datasets import PanopticDataset
from densevit.datasets.segmentation.panoptic_segments import read_segment_ids
from densevit.evaluation import PanopticCounts, PanopticMetric, panoptic_counts, panoptic_quality


def dataset_of(folder, ann_file='panoptic.json', img='images', seg='segments'):
    return PanopticDataset(ann_file, data_root=str(folder), data_prefix=dict(img=img, seg=seg), test_mode=True)


@pytest.fixture
def synthetic(tmp_path):
    return dataset_of(write_coco_like(tmp_path / 'data'))


@pytest.fixture
def coco_tiny(shared_data):
    return dataset_of(shared_data / 'coco_tiny', 'annotations/panoptic_val2017.json', 'images/val2017',
                      'annotations/panoptic_val2017')


def sample_of(info, indices, labels):
    """A data sample as the evaluator gets it; pixels of no segment have mmdetection's label of none."""
    ids = np.array([label + 1000 * (index + 1) for index, label in enumerate(labels)] + [133])
    prediction = PixelData(sem_seg=torch.from_numpy(ids[indices])[None])
    return dict(info, pred_panoptic_seg=dict(sem_seg=prediction.sem_seg))


def metric_of(dataset, **options):
    metric = PanopticMetric(**options)
    metric.dataset_meta = dataset.metainfo
    return metric


def truth_as_predicted(info, with_crowds=False):
    """Crowds are left out: a model that finds one is not rewarded for it."""
    ids = read_segment_ids(info['seg_map_path'])
    indices, labels = np.full(ids.shape, -1), []
    for segment in info['segments_info']:
        if with_crowds or not segment['iscrowd']:
            indices[ids == segment['id']] = len(labels)
            labels.append(segment['category'])
    return indices, labels


@pytest.mark.parametrize('with_crowds', [False, True])
@pytest.mark.parametrize('data', ['synthetic', 'coco_tiny'])
def test_the_truth_is_perfect(data, with_crowds, request):
    dataset = request.getfixturevalue(data)
    metric = metric_of(dataset)
    for info in (dataset.get_data_info(index) for index in range(len(dataset))):
        metric.process({}, [sample_of(info, *truth_as_predicted(info, with_crowds))])
    values = metric.evaluate(len(dataset))
    assert set(values) == {f'{name}{suffix}' for name in ('PQ', 'SQ', 'RQ') for suffix in ('', '_th', '_st')}
    assert all(value == 100. for value in values.values()), values


def damaged_predictions(dataset):
    generator = np.random.default_rng(5)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        ids = read_segment_ids(info['seg_map_path'])
        yield info, *damaged(ids, info['segments_info'], generator, len(dataset.metainfo['classes']))


def our_levels(dataset):
    """PQ, SQ and RQ of all, things and stuff, and of each class (zeros for one that does not occur)."""
    metric = metric_of(dataset)
    for info, indices, labels in damaged_predictions(dataset):
        metric.process({}, [sample_of(info, indices, labels)])
    counts = list(metric.results)
    values = metric.evaluate(len(dataset))
    levels = [torch.tensor([values[f'{name}{suffix}'] for name in ('PQ', 'SQ', 'RQ')]).double() / 100
              for suffix in ('', '_th', '_st')]
    total = PanopticCounts.zeros(len(dataset.metainfo['classes']))
    for rows in counts:
        for part, column in zip(total, rows.T[1:], strict=True):
            part[rows[:, 0].astype(int)] += column
    per_class = panoptic_quality(total, dataset.metainfo['isthing'])['per_class']
    return [*levels, torch.from_numpy(np.nan_to_num(np.stack(list(per_class.values()))))]


def official_levels(dataset, folder):
    """panopticapi's numbers on the same predictions, which it reads from files."""
    folder.mkdir()
    data = json.loads(Path(dataset.ann_file).read_text())
    by_image = {annotation['image_id']: annotation for annotation in data['annotations']}
    pairs = []
    for info, indices, labels in damaged_predictions(dataset):
        name = f'{info["img_id"]}.png'
        to_png(indices + 1, folder / name)
        segments = [dict(id=index + 1, category_id=dataset.metainfo['category_ids'][label])
                    for index, label in enumerate(labels)]
        truth = dict(by_image[info['img_id']])
        truth['file_name'] = info['seg_map_path']
        pairs.append((truth, dict(image_id=info['img_id'], file_name=name, segments_info=segments)))
    categories = {category['id']: category for category in data['categories']}
    with importable(repository('panopticapi')), redirect_stdout(StringIO()):
        from panopticapi.evaluation import pq_compute_single_core
        stat = pq_compute_single_core(0, pairs, '', str(folder), categories)
        averages = [stat.pq_average(categories, isthing) for isthing in (None, True, False)]
    levels = [torch.tensor([average[name] for name in ('pq', 'sq', 'rq')]).double() for average, _ in averages]
    per_class = averages[0][1]
    return [*levels, torch.tensor([[per_class[id_][name] for id_ in dataset.metainfo['category_ids']]
                                   for name in ('pq', 'sq', 'rq')]).double()]


@pytest.mark.parametrize('data', ['synthetic', 'coco_tiny'])
def test_damaged_copies__panopticapis_own_numbers(data, request, tmp_path):
    dataset = request.getfixturevalue(data)
    ours, theirs = our_levels(dataset), official_levels(dataset, tmp_path / 'predicted')
    for own, official in zip(ours, theirs, strict=True):
        assert torch.allclose(own, official, rtol=0, atol=1e-6)
    write_golden(f'panopticapi_{data}', theirs)


@pytest.mark.parametrize('data', ['synthetic', 'coco_tiny'])
def test_damaged_copies__recorded_numbers(data, request):
    levels = our_levels(request.getfixturevalue(data))
    assert_golden(f'panopticapi_{data}', levels, share=1e-6)
    assert .1 < levels[0][0] < .9  # damaged, but not beyond recognition


def row(*runs):
    """A map of one row: (index, length), ..."""
    return np.concatenate([np.full(length, index) for index, length in runs])[None]


def as_lists(counts):
    return [part.tolist() for part in counts]


def test_a_match_needs_more_than_half():
    truth = row((0, 10), (-1, 10))
    half = panoptic_counts(row((0, 20)), [0], [False], row((0, 10), (-1, 10)), [0], 1)
    more = panoptic_counts(row((0, 20)), [0], [False], row((0, 11), (-1, 9)), [0], 1)
    assert as_lists(half) == [[0.], [0.], [1.], [1.]] and as_lists(more) == [[11 / 20], [1.], [0.], [0.]]
    # Void counts neither for the union nor as an error of its own.
    assert as_lists(panoptic_counts(truth, [0], [False], row((0, 20)), [0], 1)) == [[1.], [1.], [0.], [0.]]


@pytest.mark.parametrize('void, errors', [(10, 1.), (11, 0.)])
def test_a_false_segment_is_excused_when_more_than_half_is_void(void, errors):
    truth = row((-1, void), (0, 20 - void), (1, 30))
    predicted = row((0, 20), (1, 30))
    counts = panoptic_counts(truth, [0, 1], [False, False], predicted, [2, 1], 3)
    assert counts.fp.tolist() == [0., 0., errors] and counts.fn.tolist() == [1., 0., 0.]


@pytest.mark.parametrize('label, errors', [(0, 0.), (1, 1.)])
def test_a_crowd_excuses_segments_of_its_class_alone(label, errors):
    truth, predicted = row((0, 20), (1, 5)), row((0, 15), (-1, 5), (1, 5))
    counts = panoptic_counts(truth, [0, 0], [True, False], predicted, [label, 0], 2)
    assert counts.fp[label] == errors and counts.tp.tolist() == [1., 0.] and not counts.fn.any()


def test_images_of_other_processes():
    """What processes gather is cut to the length of the data set: repeated images at the end do not count."""
    counts = np.array([[0, 1.5, 2., 0., 0.], [1, 0., 0., 1., 1.]])
    metric = PanopticMetric()
    metric.dataset_meta = dict(classes=('a', 'b'), isthing=(True, False))
    metric.results = [counts, counts, counts]
    values = metric.evaluate(2)
    assert values['PQ'] == 37.5 and values['PQ_th'] == 75. and values['PQ_st'] == 0.


def test_without_stuff_there_is_no_figure_of_it():
    metric = PanopticMetric()
    metric.dataset_meta = dict(classes=('a', ), isthing=(True, ))
    metric.results = [np.array([[0, .9, 1., 0., 0.]])]
    assert set(metric.evaluate(1)) == {'PQ', 'SQ', 'RQ', 'PQ_th', 'SQ_th', 'RQ_th'}


def test_what_lacks_is_named(synthetic):
    metric, info = metric_of(synthetic), synthetic.get_data_info(0)
    with pytest.raises(KeyError, match="task='panoptic'"):
        metric.process({}, [info])
    sample = sample_of(info, *truth_as_predicted(info))
    with pytest.raises(KeyError, match='PackWithTruth'):
        metric.process({}, [dict(pred_panoptic_seg=sample['pred_panoptic_seg'])])
    sample['pred_panoptic_seg']['sem_seg'] = sample['pred_panoptic_seg']['sem_seg'][:, :-1]
    with pytest.raises(ValueError, match='original size'):
        metric.process({}, [sample])
    metric.dataset_meta = dict(classes=('a', ))
    with pytest.raises(KeyError, match='isthing'):
        metric.evaluate(0) or metric.compute_metrics([])

"""AP of masks and boxes: perfect on the truth, pycocotools' own numbers on damaged copies of it."""
import json
import sys
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from coco_like import write_coco_like
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densevit.datasets import CocoInstanceDataset
from densevit.datasets.common.coco_masks import compressed
from densevit.evaluation import InstanceMetric, coco_comparison

NAMES = ('AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l', 'AR_1', 'AR_10', 'AR', 'AR_s', 'AR_m', 'AR_l')


@pytest.fixture
def synthetic(tmp_path):
    return CocoInstanceDataset(
        'instances.json', data_root=str(write_coco_like(tmp_path / 'data')), data_prefix=dict(img='images'),
        test_mode=True)


@pytest.fixture
def coco_tiny(shared_data):
    return CocoInstanceDataset(
        'annotations/instances_val2017.json', data_root=str(shared_data / 'coco_tiny'),
        data_prefix=dict(img='images/val2017'), test_mode=True)


def truth_as_predicted(info, dataset, as_rle):
    """Labels, scores and masks of everything but the crowds."""
    image = dict(height=info['height'], width=info['width'])
    kept = [annotation for annotation in info['annotations'] if not annotation.get('iscrowd')]
    labels = [dataset.metainfo['category_ids'].index(annotation['category_id']) for annotation in kept]
    masks = [compressed(annotation['segmentation'], image) for annotation in kept]
    if not as_rle:
        masks = torch.from_numpy(np.stack([rle_tools.decode(mask) for mask in masks])).bool() if masks else []
    return labels, [.9] * len(kept), masks


def damaged(info, dataset, generator):
    """Moved masks, wrong labels, doubles, omissions, and scores in no order."""
    labels, _, masks = truth_as_predicted(info, dataset, as_rle=False)
    found = [], [], []
    for label, mask in zip(labels, masks, strict=True):
        for _ in range(generator.integers(3)):
            moved = np.roll(mask.numpy(), generator.integers(-1, 2, 2), (0, 1))
            wrong = generator.random() < .2
            found[0].append((label + wrong) % len(dataset.metainfo['classes']))
            found[1].append(float(generator.random()))
            found[2].append(moved)
    if found[2] and generator.random() < .5:  # one inside a crowd, or nowhere
        found[0].append(0)
        found[1].append(.99)
        found[2].append(np.eye(*found[2][0].shape, dtype=bool))
    return found[0], found[1], torch.from_numpy(np.stack(found[2])) if found[2] else torch.zeros(0, 1, 1)


def boxes_of(masks):
    """[x1, y1, x2, y2] around masks of any kind."""
    if len(masks) and isinstance(masks[0], dict):
        masks = [rle_tools.decode(mask) for mask in masks]
    rles = [rle_tools.encode(np.asfortranarray(mask, np.uint8)) for mask in np.asarray(masks)]
    boxes = torch.tensor([rle_tools.toBbox(rle).tolist() for rle in rles]).reshape(-1, 4)
    return torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)


def metric_of(dataset, predict, **options):
    metric = InstanceMetric(**options)
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        labels, scores, masks = predict(info)
        prediction = dict(labels=torch.tensor(labels, dtype=torch.long), scores=torch.tensor(scores), masks=masks,
                          bboxes=boxes_of(masks))
        metric.process({}, [dict(info, ori_shape=(info['height'], info['width']), pred_instances=prediction)])
    return metric


@pytest.mark.parametrize('as_rle', [False, True])
@pytest.mark.parametrize('data', ['synthetic', 'coco_tiny'])
def test_the_truth_is_perfect(data, as_rle, request):
    dataset = request.getfixturevalue(data)
    kinds = ('segm', ) if data == 'coco_tiny' else ('segm', 'bbox')  # COCO's boxes are not quite around its masks
    values = metric_of(dataset, lambda info: truth_as_predicted(info, dataset, as_rle), metric=kinds).evaluate(
        len(dataset))
    assert values.keys() >= {'AP', 'AP50', 'AP75', 'AP_s', 'AR'}
    assert ('bbox_AP' in values) == ('bbox' in kinds)
    assert all(values[name] == pytest.approx(100.) for name in values if 'AR_1' not in name), values


def own_numbers(dataset, found, kind, max_detections=100):
    """pycocotools' of the annotation file itself; its summary has no AP for other than 100 detections."""
    with redirect_stdout(StringIO()):
        truth = COCO(dataset.ann_file)
        for annotation in truth.dataset['annotations']:
            annotation['id'] += 1  # a match with annotation 0 is none to pycocotools
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.params.maxDets = [1, 10, max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = dict(zip(NAMES, evaluation.stats, strict=True))
    if max_detections != 100:
        precision = evaluation.eval['precision'][:, :, :, 0, 2]
        figures['AP'] = precision[precision > -1].mean()
    return {name: 100 * value for name, value in figures.items() if value >= 0}


def in_coco_form(dataset, kind, info, labels, scores, masks):
    scores = torch.tensor(scores).tolist()  # as single precision has them
    for label, score, mask, box in zip(labels, scores, masks, boxes_of(masks).tolist(), strict=True):
        shape = (dict(bbox=[*box[:2], box[2] - box[0], box[3] - box[1]]) if kind == 'bbox' else
                 dict(segmentation=rle_tools.encode(np.asfortranarray(mask.numpy(), np.uint8))))
        yield dict(shape, image_id=info['img_id'], score=score, category_id=dataset.metainfo['category_ids'][label])


@pytest.mark.parametrize('backend', ['pycocotools', 'hotcoco'])
@pytest.mark.parametrize('kind', ['segm', 'bbox'])
@pytest.mark.parametrize('data', ['synthetic', 'coco_tiny'])
def test_damaged_copies__pycocotools_own_numbers(data, kind, backend, request, monkeypatch):
    if backend == 'hotcoco':
        pytest.importorskip('hotcoco', reason='hotcoco is not installed')
        monkeypatch.setattr(coco_comparison, 'COCOeval', None)  # pycocotools does not do its work
    dataset = request.getfixturevalue(data)
    generator, found = np.random.default_rng(3), []

    def predict(info):
        predicted = damaged(info, dataset, generator)
        found.extend(in_coco_form(dataset, kind, info, *predicted))
        return predicted

    values = metric_of(dataset, predict, metric=kind, backend=backend).evaluate(len(dataset))
    assert values == pytest.approx(own_numbers(dataset, found, kind), abs=1e-8)
    assert 5 < values['AP'] < 95


@pytest.mark.parametrize('backend', ['pycocotools', 'auto'])
def test_more_detections_than_cocos_hundred(synthetic, backend):
    """All figures consider them, where pycocotools' summary and mmdetection's metric keep AP to 100."""
    found = []

    def predict(info):
        labels, scores, masks = truth_as_predicted(info, synthetic, as_rle=False)
        noise = torch.zeros(120, *masks.shape[1:], dtype=torch.bool)
        noise[:, 0, 0] = True
        predicted = labels + labels[:1] * 120, [.1] * len(labels) + [.9] * 120, torch.cat((masks, noise))
        found.extend(in_coco_form(synthetic, 'segm', info, *predicted))
        return predicted

    at_100 = metric_of(synthetic, predict, backend=backend).evaluate(len(synthetic))
    found.clear()
    at_200 = metric_of(
        synthetic, predict, max_detections=200, classwise=True, backend=backend).evaluate(len(synthetic))
    own = own_numbers(synthetic, found, 'segm', max_detections=200)
    assert {name: at_200[name] for name in own} == pytest.approx(own, abs=1e-8)
    assert at_100['AR'] < at_200['AR'] == pytest.approx(100.)
    assert at_200['AP'] > at_100['AP'] and {'AP_cell', 'AP_rod'} < at_200.keys()
    assert at_200['AP'] == pytest.approx((at_200['AP_cell'] + at_200['AP_rod']) / 2)


@pytest.mark.parametrize('label', [0, 1])
def test_the_ap_of_a_class_is_that_class_in_any_order_of_ids(synthetic, label):
    """Only instances of one class are found."""
    def predict(info):
        found = [index for index, each in enumerate(truth_as_predicted(info, synthetic, False)[0]) if each == label]
        labels, scores, masks = truth_as_predicted(info, synthetic, as_rle=False)
        return [label] * len(found), [.5] * len(found), masks[found]

    for ids in ((5, 2), (2, 5)):
        renamed = dict(zip(synthetic.metainfo['category_ids'], ids, strict=True))
        metric = metric_of(synthetic, predict, classwise=True)
        metric.dataset_meta = dict(synthetic.metainfo, category_ids=ids)
        for _, annotations, _ in metric.results:
            for index, annotation in enumerate(annotations):
                annotations[index] = dict(annotation, category_id=renamed[annotation['category_id']])
        values = metric.evaluate(len(synthetic))
        names = synthetic.metainfo['classes']
        assert values[f'AP_{names[label]}'] == pytest.approx(100.) and values[f'AP_{names[1 - label]}'] == 0.


def test_few_detections(synthetic):
    values = metric_of(synthetic, lambda info: truth_as_predicted(info, synthetic, as_rle=False),
                       max_detections=1).evaluate(len(synthetic))
    assert values['AR_1'] == values['AR_10'] == values['AR'] < 100.


def test_nothing_found(synthetic):
    values = metric_of(synthetic, lambda info: ([], [], torch.zeros(0, 48, 64))).evaluate(len(synthetic))
    assert values['AP'] == values['AR'] == 0.


def test_a_file_without_areas_and_with_polygons(tmp_path):
    folder = write_coco_like(tmp_path / 'data')
    data = json.loads((folder / 'instances.json').read_text())
    for annotation in data['annotations']:
        x, y, width, height = annotation['bbox']
        annotation['segmentation'] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        for key in ('area', 'bbox', 'iscrowd'):
            del annotation[key]
    (folder / 'instances.json').write_text(json.dumps(data))
    dataset = CocoInstanceDataset(
        'instances.json', data_root=str(folder), data_prefix=dict(img='images'), test_mode=True)
    values = metric_of(dataset, lambda info: truth_as_predicted(info, dataset, as_rle=False)).evaluate(len(dataset))
    assert values['AP'] == pytest.approx(100.)


def test_boxes_alone(tmp_path):
    """Of a file that has neither masks nor areas."""
    folder = write_coco_like(tmp_path / 'data')
    data = json.loads((folder / 'instances.json').read_text())
    for annotation in data['annotations']:
        del annotation['segmentation'], annotation['area']
    (folder / 'instances.json').write_text(json.dumps(data))
    dataset = CocoInstanceDataset('instances.json', data_root=str(folder), data_prefix=dict(img='images'),
                                  with_masks=False, test_mode=True)
    metric = InstanceMetric('bbox', classwise=True)
    metric.dataset_meta = dataset.metainfo
    for info in map(dataset.get_data_info, range(len(dataset))):
        kept = [each for each in info['instances'] if not each['ignore_flag']]
        found = dict(bboxes=torch.tensor([each['bbox'] for each in kept]), scores=torch.full((len(kept), ), .5),
                     labels=torch.tensor([each['bbox_label'] for each in kept]))
        metric.process({}, [dict(info, ori_shape=(48, 64), pred_instances=found)])
    values = metric.evaluate(len(dataset))
    assert values['AP'] == values['AP_cell'] == values['AP_rod'] == pytest.approx(100.)


def test_what_lacks_is_named(synthetic):
    metric, info = InstanceMetric(), synthetic.get_data_info(0)
    with pytest.raises(KeyError, match="set the metric of test_evaluator .*task='instance'"):
        metric.process({}, [dict(info, pred_instances=dict(bboxes=[]))])
    with pytest.raises(KeyError, match='PackWithTruth'):
        metric.process({}, [dict(pred_instances=dict(masks=[]))])
    metric.dataset_meta = dict(classes=('a', ))
    with pytest.raises(KeyError, match='CocoInstanceDataset'):
        metric.compute_metrics([])
    for options, key in ((dict(metric='box'), "'segm' for masks, 'bbox' for boxes"), (dict(backend='fast'), 'hotcoco'),
                         (dict(max_detections=0), 'max_detections'), (dict(confusion_matrix=True), '0.3')):
        with pytest.raises(ValueError, match=key):
            InstanceMetric(**options)


@pytest.mark.parametrize('fault', ['is absent', 'fails'])
def test_hotcoco__without_it_by_pycocotools_and_a_line(synthetic, fault, monkeypatch):
    if fault == 'is absent':
        monkeypatch.setattr(coco_comparison, 'find_spec', lambda name: None)
    else:
        monkeypatch.setattr(coco_comparison, 'find_spec', lambda name: name)
        monkeypatch.setitem(sys.modules, 'hotcoco', None)
    lines = []
    monkeypatch.setattr(coco_comparison, 'print_log', lambda text, *_: lines.append(text))
    metric = metric_of(synthetic, lambda info: truth_as_predicted(info, synthetic, as_rle=True), backend='hotcoco')
    assert metric.evaluate(len(synthetic))['AP'] == pytest.approx(100.)
    assert len(lines) == 1 and ('densevit[fast]' if fault == 'is absent' else "backend='pycocotools'") in lines[0]

"""Which class is taken for which: counted by hand, as another program counts, and written."""
import csv

import numpy as np
import pytest
from coco_like import write_coco_like
from mmengine.logging import MMLogger
from PIL import Image
from test_coco_ap import metric_of, truth_as_predicted

from densevit.datasets import CocoInstanceDataset
from densevit.evaluation.confusion import confusion_matrix, draw


def objects(*entries):
    return [dict(id=index, image_id=image, category_id=label, bbox=box, area=box[2] * box[3], iscrowd=crowd)
            for index, (image, label, box, crowd) in enumerate(entries, 1)]


def detections(*entries):
    return [dict(image_id=image, category_id=label, bbox=box, score=score) for image, label, box, score in entries]


def classes(count):
    return [dict(id=number, name=str(number)) for number in range(1, count + 1)]


def test_counted_by_hand():
    truth = dict(categories=classes(2), annotations=objects(
        (1, 1, [0, 0, 10, 10], 0), (1, 2, [20, 0, 10, 10], 0), (1, 1, [40, 0, 20, 20], 1),
        (2, 2, [0, 0, 10, 10], 0), (2, 1, [30, 30, 10, 10], 0), (2, 2, [30, 30, 10, 10], 0)))
    found = detections(
        (1, 1, [0, 0, 10, 10], .8),  # comes second to an object that is taken: background as 1
        (1, 2, [0, 0, 10, 10], .9),  # 1 as 2
        (1, 2, [20, 0, 10, 6], .7),  # IoU 0.6: 2 as 2
        (1, 1, [42, 2, 5, 5], .6),  # in a crowd: not counted
        (1, 2, [55, 0, 30, 30], .6),  # for the most part outside of it: background as 2
        (1, 1, [20, 0, 10, 10], .2),  # below the score
        (2, 2, [0, 0, 10, 4], .5),  # IoU 0.4: background as 2, and the object is not found
        (2, 2, [30, 30, 10, 10], .5), (2, 1, [30, 30, 10, 10], .4),  # each has its own of two in one place
        (3, 1, [0, 0, 10, 10], .3))  # an image without objects: background as 1
    counts = confusion_matrix(truth, found, 'bbox', min_score=.3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 1], [2, 2, 0]]
    assert confusion_matrix(truth, [], 'bbox', .3).tolist() == [[0, 0, 2], [0, 0, 3], [0, 0, 0]]


def test_as_hotcoco_counts():
    hotcoco = pytest.importorskip('hotcoco', reason='hotcoco is not installed')
    rng = np.random.default_rng(0)
    boxes = np.concatenate((rng.integers(0, 150, (200, 2)), rng.integers(10, 50, (200, 2))), 1).astype(float)
    labels = rng.integers(1, 6, 200)
    truth = dict(images=[dict(id=number, height=200, width=200) for number in range(1, 41)], categories=classes(5),
                 annotations=objects(*((int(rng.integers(1, 41)), int(label), box.tolist(), 0)
                                       for label, box in zip(labels, boxes, strict=True))))
    found = detections(*(
        (each['image_id'], int(each['category_id'] + (rng.random() < .3)) % 5 + 1,
         (np.array(each['bbox']) + rng.normal(0, 2, 4)).tolist(), float(rng.random()))
        for each in truth['annotations'] for _ in range(rng.integers(4))))
    own = hotcoco.COCO(dict(truth))
    expected = hotcoco.COCOeval(own, own.load_res(found), 'bbox').confusion_matrix(iou_thr=.5, min_score=.3)
    np.testing.assert_array_equal(confusion_matrix(truth, found, 'bbox', .3), expected['matrix'])


@pytest.mark.parametrize('place', ['its folder', 'the run', 'nowhere'])
def test_metric__writes_table_and_picture(place, tmp_path, monkeypatch):
    """Of masks; into the folder of the run's log unless another one is named."""
    dataset = CocoInstanceDataset('instances.json', data_root=str(write_coco_like(tmp_path / 'data')),
                                  data_prefix=dict(img='images'), test_mode=True)
    folder, log_file = tmp_path / 'evaluation', tmp_path / 'evaluation/run.log' if place == 'the run' else None
    monkeypatch.setattr(MMLogger, 'log_file', log_file)
    metric = metric_of(dataset, lambda info: truth_as_predicted(info, dataset, as_rle=True), confusion_matrix=.5,
                       confusion_folder=folder if place == 'its folder' else None)
    assert metric.evaluate(len(dataset))['AP'] == pytest.approx(100.)
    if place == 'nowhere':
        assert not folder.exists()
        return
    header, *rows = csv.reader((folder / 'confusion_matrix_segm.csv').open())
    assert header[1:] == [row[0] for row in rows] == [*dataset.metainfo['classes'], 'background']
    counts = np.array([row[1:] for row in rows], int)
    of_objects = [sum(each['category_id'] == id_ and not each.get('iscrowd') for index in range(len(dataset))
                      for each in dataset.get_data_info(index)['annotations'])
                  for id_ in dataset.metainfo['category_ids']]
    np.testing.assert_array_equal(counts, np.diag([*of_objects, 0]))
    assert Image.open(folder / 'confusion_matrix_segm.png').width > 100


@pytest.mark.parametrize('count', [1, 80])
def test_draw__few_classes_and_many(count, tmp_path):
    """Names of any length and a class that does not occur."""
    counts = np.diag([7] * count + [0])
    counts[0] = 0
    (tmp_path / 'drawn.png').write_bytes(draw(counts, ['a name that would be wider than the picture'] * count, ''))
    width, height = Image.open(tmp_path / 'drawn.png').size
    assert min(width, height) > 150 and max(width, height) < 2500

"""The look at the data before a run: all splits, before anything else happens."""
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric
from PIL import Image
from rooms import SIZE, write_rooms
from torch import nn

from densevit.datasets import DepthDataset
from densevit.datasets.common.checks import ClassesError
from densevit.datasets.common.coco_json import AnnotationError
from densevit.datasets.common.locate import MissingDataError
from densevit.datasets.common.task_checks import DataError, TaskChecks
from densevit.engine import guards, run_config
from densevit.engine.guards import DataCheckHook

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]


def write(folder, values=(0, 1, 255), count=2):
    for part in ('images', 'labels'):
        (folder / part).mkdir(parents=True)
    labels = np.array(values, np.uint8)[None].repeat(8, 0).repeat(8, 1)
    for index in range(count):
        Image.fromarray(np.stack([labels] * 3, -1)).save(folder / 'images' / f'{index}.jpg')
        Image.fromarray(labels).save(folder / 'labels' / f'{index}.png')
    return folder


def dataset(folder, classes=('a', 'b'), labels='labels'):
    prefix = dict(img_path='images', **(dict(seg_map_path=labels) if labels else {}))
    return BaseSegDataset(data_root=str(folder), data_prefix=prefix, metainfo=dict(classes=classes), pipeline=PIPELINE,
                          serialize_data=False)


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines += record.getMessage().splitlines()


@pytest.fixture
def check(tmp_path):
    """What the hook logs of a run's data sets."""
    def run(num_classes=2, ignore_index=255, max_files=None, metrics=(), **datasets):
        model = nn.Module()
        model.num_classes, model.ignore_index = num_classes, ignore_index
        logger, heard = logging.Logger('data check'), Lines()
        logger.addHandler(heard)
        loops = {name: SimpleNamespace(dataloader=SimpleNamespace(dataset=datasets[name]),
                                       evaluator=SimpleNamespace(metrics=metrics)) if name in datasets else None
                 for name in ('train', 'val', 'test')}
        loops = {f'_{name}_loop': loop for name, loop in loops.items()}
        DataCheckHook(max_files=max_files).before_run(
            SimpleNamespace(model=model, work_dir=str(tmp_path), logger=logger, **loops))
        return heard.lines
    return run


def test_one_table_of_all_splits(check, tmp_path):
    lines = check(train=dataset(write(tmp_path / 'a')), val=dataset(write(tmp_path / 'b', (0, ), 1)),
                  metrics=[IoUMetric()])
    assert [line.split() for line in lines if line.startswith(('train', 'val'))] == [
        ['train', '2', '2', '0', '2', 'of', '2'], ['val', '1', '1', '0', '1', 'of', '2']]
    assert (tmp_path / 'data_check.json').is_file()


def test_names_do_nothing_to_a_terminal(check, tmp_path):
    """A name of a class and one of a file, of depth of which nothing is known."""
    lines = check(train=dataset(write(tmp_path / 'a', (0, )), ('a', 'b\x1b]0;x\x07')))
    assert any(r'never occurs: b\x1b]0;x\x07' in line for line in lines)
    folder, name = write_rooms(tmp_path / 'rooms', 2), 'd\x1b[2J'
    for part, suffix in (('images', '.jpg'), ('depth', '.png')):
        (folder / part / f'000{suffix}').rename(folder / part / f'{name}{suffix}')
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(folder / 'depth' / f'{name}.png')
    lines = check(num_classes=None, train=DepthDataset(
        data_root=str(folder), data_prefix=dict(img_path='images', depth_map_path='depth'), pipeline=[
            dict(type='densevit.LoadImage'), dict(type='densevit.LoadDepth'), dict(type='densevit.PackDepth')]))
    assert any('have no pixel above 0' in line and r'd\x1b[2J.png' in line for line in lines)
    assert '\x1b' not in ''.join(lines)


def test_a_label_of_any_split(check, tmp_path):
    right, wrong = dataset(write(tmp_path / 'right', (0, 1))), dataset(write(tmp_path / 'wrong', (0, 1, 9)))
    for split in ('train', 'val', 'test'):
        with pytest.raises(DataError, match='wrong/labels/0.png holds label 9'):
            check(**{'train': right, split: wrong})


def test_what_the_metric_ignores_is_no_wrong_label_of_the_validation(check, tmp_path):
    train, val = dataset(write(tmp_path / 'a', (0, 1, 7))), dataset(write(tmp_path / 'b', (0, 1, 255)))
    check(ignore_index=7, train=train, val=val, metrics=[IoUMetric(ignore_index=255)])
    with pytest.raises(DataError, match='holds label 255.*ignore_index=7'):
        check(ignore_index=7, train=train, val=val)


def test_a_sample_of_many(check, tmp_path):
    lines = check(max_files=3, train=dataset(write(tmp_path / 'a', count=9)))
    assert any('max_files' in line for line in lines) and lines[2].split()[:3] == ['train', '9', '3']


def test_tests_without_labels(check, tmp_path):
    train, test = dataset(write(tmp_path / 'a')), dataset(write(tmp_path / 'b'), labels=None)
    with pytest.raises(MissingDataError, match='format_only'):
        check(train=train, test=test, metrics=[IoUMetric()])
    check(test=test, metrics=[IoUMetric(format_only=True, output_dir=str(tmp_path / 'out'))])


def test_other_classes__the_model_is_compared_once(check, tmp_path):
    train, val = dataset(write(tmp_path / 'a')), dataset(write(tmp_path / 'b'), ('a', ))
    with pytest.raises(ClassesError, match='class 1 is none in the val data'):
        check(train=train, val=val)
    with pytest.raises(ClassesError, match='the train data has 2 classes .* set model.num_classes=2'):
        check(num_classes=1, train=train, val=val)


def test_what_mmdetection_cannot_build_is_said_by_the_run(tmp_path, monkeypatch):
    content = dict(images=[], categories=[dict(id=1, name='a')], annotations=[dict(id=1, image_id=1, category_id=1)])
    (tmp_path / 'coco.json').write_text(json.dumps(content))

    def train():
        raise KeyError('bbox')

    runner = SimpleNamespace(train=train, register_hook=lambda hook: None)
    monkeypatch.setattr(run_config, 'build_runner', lambda cfg: runner)
    dataset = dict(type='mmdet.CocoDataset', data_root=str(tmp_path), ann_file='coco.json')
    with pytest.raises(AnnotationError, match='number 0 of the annotations in .*coco.json has no bbox'):
        run_config.train(Config(dict(train_dataloader=dict(dataset=dataset))))
    with pytest.raises(KeyError):  # nothing is wrong with the data
        run_config.train(Config(dict(train_dataloader=dict(dataset=dict(dataset, type='Other')))))


def test_another_task_is_asked_too(check, tmp_path, monkeypatch):
    """A task joins with what it knows of its files; nothing else changes."""
    class DepthChecks(TaskChecks):
        def look(self, leaf, picture, memory):
            raise DataError(f'{picture.info["img_path"]} has no depth: add it')

    monkeypatch.setattr(guards, 'task_checks', lambda: [DepthChecks])
    with pytest.raises(DataError, match=r'0.jpg has no depth: add it \(1 more images of the train data have faults'):
        check(train=dataset(write(tmp_path / 'a')))

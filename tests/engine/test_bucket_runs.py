"""Training in aspect-ratio buckets through the tools: label maps, LW-DETR and a detector of mmdetection."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from PIL import Image
from test_resume import Killed, assert_same, load, with_hook

BUCKETS = """
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'), dict(type='LoadAnnotations'),
    dict(type='densevit.FitToBucket', annotations='label_map'), dict(type='RandomFlip', prob=.5),
    dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline),
    batch_sampler=dict(type='densevit.AspectRatioBuckets', shapes=[(48, 64), (64, 48)]))
model['data_preprocessor'].pop('size')
model['data_preprocessor']['size_divisor'] = 16
"""
DETECTION = """
_base_ = '{root}/configs/tiny/{name}.py'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True), dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='densevit.FitToBucket'), dict(type='mmdet.PackDetInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline, indices=6),
    batch_sampler=dict(type='densevit.AspectRatioBuckets', shapes=[(96, 128), (128, 96)]))
train_cfg = dict(max_iters=2)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
model = dict(backbone=dict(pretrained=False))
"""


@pytest.fixture
def turned(camvid_like):
    """Half of the images of a data set of label maps stand upright."""
    for path in [*camvid_like.glob('train*/00[135].*')]:
        Image.open(path).rotate(90, expand=True).save(path)


def test_resumed_run_of_label_maps_is_one_that_was_never_stopped(turned, tiny_config, tool, tmp_path):
    tiny_config.write_text(tiny_config.read_text() + BUCKETS)
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'whole') == 0
    log = next((tmp_path / 'whole').glob('*/*.log')).read_text()
    assert log.count('shapes of batches: 48x64, 64x48; 7.3% of the input is padding, and 25.0% of squares') == 1
    with pytest.raises(Killed):
        tool('train', with_hook(tiny_config), '--work-dir', tmp_path / 'killed', '--cfg-options',
             'custom_hooks.2.type=KillForTestHook', 'custom_hooks.2.iteration=5')
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'killed', '--resume', '--cfg-options',
                'randomness.seed=8') == 0  # the checkpoint's is taken
    whole, resumed = (load(tmp_path / name / 'iter_8.pth') for name in ('whole', 'killed'))
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same(whole[part], resumed[part], part)


@pytest.mark.parametrize('name', ['lwdetr_tiny_bccd', 'faster_rcnn_tiny_bccd'])
def test_detectors_train_at_every_shape(shared_data, tool, tmp_path, monkeypatch, name):
    data = shared_data / 'bccd'
    truth = json.loads((data / 'coco_train.json').read_text())
    folder = tmp_path / 'bccd'
    (folder / 'JPEGImages').mkdir(parents=True)
    truth['images'] = truth['images'][:6]
    kept = {image['id'] for image in truth['images']}
    truth['annotations'] = [entry for entry in truth['annotations'] if entry['image_id'] in kept]
    for image in truth['images']:
        picture = Image.open(data / 'JPEGImages' / image['file_name'])
        if image['id'] % 2:
            left, image['width'] = picture.crop((0, 0, 320, 480)), 320
            picture = left
        picture.save(folder / 'JPEGImages' / image['file_name'])
    for entry in truth['annotations']:
        entry['bbox'] = [10, 10, 60, 60]
    for split in ('train', 'val', 'test'):
        (folder / f'coco_{split}.json').write_text(json.dumps(truth))
    monkeypatch.setenv('DENSEVIT_DATA', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'buckets.py'
    config.write_text(DETECTION.format(root=Path(ROOT).as_posix(), name=name))
    shapes = []
    from mmdet.models import DetDataPreprocessor
    forward = DetDataPreprocessor.forward

    def watch(self, data, training=False):
        shapes.append(tuple(data['inputs'][0].shape[-2:]))
        assert len({image.shape for image in data['inputs']}) == 1
        return forward(self, data, training)

    monkeypatch.setattr(DetDataPreprocessor, 'forward', watch)
    assert tool('train', config, '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=3') == 0
    assert set(shapes) == {(96, 128), (128, 96)} and len(shapes) == 3
    assert all(torch.isfinite(value).all() for value in load(tmp_path / 'run' / 'iter_3.pth')['state_dict'].values())

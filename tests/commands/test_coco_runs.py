"""tools/train.py and tools/test.py on panoptic and instance data in COCO's form."""
import json

import pytest
from checkout import ROOT
from coco_like import write_coco_like

pytest.importorskip('mmdet', reason='needs mmdet')
CONFIG = """
_base_ = ['{root}/configs/_base_/default_runtime.py', '{root}/configs/_base_/datasets/coco_{task}_640.py']
crop_size = (64, 64)
random = [
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='RandomResize', scale=crop_size, ratio_range=(.5, 2.), resize_type='mmdet.Resize', keep_ratio=True),
    dict(type='mmdet.Pad', size=crop_size, pad_val=dict(img=0, masks=0, seg=255)),
    dict(type='mmdet.RandomCrop', crop_size=crop_size, allow_negative_crop=True)]
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='LoadImageFromFile'), {load},
    dict(type='densevit.UntilSegments', transforms=random), dict(type='mmdet.PackDetInputs')]
data = dict(data_root='data/mine', ann_file='{file}.json', data_prefix={prefix})
loader = dict(num_workers=0, persistent_workers=False, dataset=data)
train_dataloader = dict(batch_size=2, **loader)
train_dataloader['dataset'] = dict(pipeline=train_pipeline, **data)
val_dataloader = loader
test_dataloader = loader
model = dict(
    type='densevit.MaskSegmentor', task='{task}', num_classes={classes}, stuff_classes={stuff},
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', mean=[127.] * 3, std=[60.] * 3, bgr_to_rgb=True, pad_mask=True, pad_seg=True),
    backbone=dict(
        type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=3, num_heads=2, class_token=False),
    head=dict(type='densevit.EoMT', num_queries=12, num_blocks=2),
    criterion=dict(num_points=128))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), constructor='densevit.LayerDecayConstructor')
param_scheduler = [dict(type='PolyLR', by_epoch=False, begin=0, end=4)]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=4, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=4), logger=dict(interval=1))
"""
PARTS = dict(
    panoptic=dict(load="dict(type='densevit.LoadPanopticSegments')", file='panoptic', classes=5, stuff=[0, 2, 4],
                  prefix=dict(img='images', seg='segments')),
    instance=dict(load="dict(type='mmdet.LoadAnnotations', with_mask=True)", file='instances', classes=2, stuff=[],
                  prefix=dict(img='images')))


@pytest.fixture
def data(tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.setenv('DENSEVIT_DATA', str(tmp_path / 'datasets'))
    monkeypatch.chdir(tmp_path / 'here')
    return write_coco_like(tmp_path / 'datasets' / 'mine', count=4)


@pytest.fixture
def config(tmp_path):
    def write(task, **changes):
        path = tmp_path / f'{task}.py'
        path.write_text(CONFIG.format(root=ROOT.as_posix(), task=task, **dict(PARTS[task], **changes)))
        return path
    return write


def scalars(folder):
    lines = [json.loads(line) for file in folder.rglob('scalars.json') for line in file.read_text().splitlines()]
    return {key: value for line in lines for key, value in line.items()}


@pytest.mark.parametrize('task, figures', [('panoptic', ('PQ', 'PQ_th', 'PQ_st')), ('instance', ('AP', 'AP50', 'AR'))])
def test_train_and_test(task, figures, data, config, tool, tmp_path):
    path, work_dir = config(task), tmp_path / 'run'
    assert tool('train', path, '--work-dir', work_dir) == 0
    trained = scalars(work_dir)
    assert trained['loss_cls'] > 0 and set(figures) < trained.keys()
    assert tool('test', path, work_dir / 'iter_4.pth', '--work-dir', tmp_path / 'test') == 0
    tested = {key: value for file in (tmp_path / 'test').rglob('*.json') if file.parent.name != 'vis_data'
              for key, value in json.loads(file.read_text()).items()}
    assert {name: tested[name] for name in figures} == {name: trained[name] for name in figures}


def refusal(tool, config, folder, capsys):
    assert tool('train', config, '--work-dir', folder) == 2 and not list(folder.glob('*.pth'))
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_what_does_not_fit__one_line_before_training(data, config, tool, tmp_path, capsys):
    for task, changes, words in (
            ('panoptic', dict(classes=4, stuff=[0, 2]), 'the train data has 5 classes (wall, ...), but the model has '
                                                        'num_classes=4: set model.num_classes=5'),
            ('panoptic', dict(stuff=[0, 1]), 'set model.stuff_classes=[0, 2, 4]'),
            ('instance', dict(classes=80), 'the train data has 2 classes (cell, ...)'),
            ('instance', dict(file='instance'), 'instance.json is missing, which train_dataloader.dataset names'),
            ('panoptic', dict(file='instances'), 'densevit.CocoInstanceDataset')):
        error = refusal(tool, config(task, **changes), tmp_path / 'run', capsys)
        assert error.startswith('error: ') and words in error


def test_missing_files(data, config, tool, tmp_path, capsys):
    for missing in ('segments/3.png', 'images/3.jpg'):
        (data / missing).unlink()
        assert missing in (error := refusal(tool, config('panoptic'), tmp_path / 'run', capsys)) and 'missing' in error

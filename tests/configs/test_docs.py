"""The examples of docs/configs.md: another crop, a detector on a backbone, and own data, trained and evaluated."""
import re

import numpy as np
import torch
from checkout import without_memory
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from PIL import Image
from shrink import OPTIONS, ROOT, scope

import densevit.registry  # noqa: F401
from densevit.models.check import check_model
from densevit.models.pretraining import without_pretraining

KEPT = ('model.backbone.img_size', 'model.data_preprocessor.size', 'model.test_cfg.crop_size')


PAGE = (ROOT / 'docs/configs.md').read_text()
CROP, RECTANGLES, DETECTOR, OWN_DATA = re.findall(r'```python\n(_base_ = .*?)```', PAGE, re.DOTALL)


def test_another_crop__in_every_pipeline(tmp_path):
    (tmp_path / 'crop.py').write_text(CROP)
    cfg = Config.fromfile(tmp_path / 'crop.py')
    shared = Config.fromfile(ROOT / 'configs/eomt/eomt_vitl_coco_panoptic_640.py')
    for stage, place in dict(train=3, val=1, test=1).items():
        own, base = (each[f'{stage}_dataloader'].dataset.pipeline for each in (cfg, shared))
        assert [step.type for step in own] == [step.type for step in base] and own[place].size == (512, 768)
    assert cfg.model.backbone.img_size == (512, 768)


def test_rectangles__reach_every_pipeline(tmp_path):
    (tmp_path / 'rectangles.py').write_text(RECTANGLES)
    cfg = Config.fromfile(tmp_path / 'rectangles.py')
    assert cfg.train_dataloader.batch_sampler.type == 'densevit.AspectRatioBuckets'
    for stage in ('train', 'val', 'test'):
        (fit,) = (step for step in cfg[f'{stage}_dataloader'].dataset.pipeline if step.type == 'densevit.FitToBucket')
        assert [tuple(shape) for shape in fit.shapes] == [(384, 640), (640, 384), (512, 512)]


def test_detector_and_backbone__are_named_from_anywhere(tmp_path):
    (tmp_path / 'detector.py').write_text(DETECTOR)
    cfg = Config.fromfile(tmp_path / 'detector.py')
    with scope(cfg), without_memory():
        model = MODELS.build(without_pretraining(cfg.model))
    check_model(model)
    assert model.bbox_head.num_classes == 3 and model.bbox_head.cls_branches[0].out_features == 3


def test_own_data__trains_and_evaluates(tmp_path, monkeypatch, quick_runs):
    assert len(OWN_DATA.splitlines()) <= 16
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'leaves.py').write_text(OWN_DATA)
    for split in ('train', 'val'):
        _write_images(tmp_path / 'data/leaves', split)
    cfg = Config.fromfile('leaves.py')
    cfg.merge_from_dict({key: value for key, value in OPTIONS.items() if key not in KEPT})
    cfg.merge_from_dict({
        'train_cfg.max_iters': 2, 'train_dataloader.batch_size': 2, 'work_dir': str(tmp_path / 'work'),
        **{f'{split}_dataloader.{key}': value for split in ('train', 'val', 'test')
           for key, value in dict(num_workers=0, persistent_workers=False).items()}})
    threads = torch.get_num_threads()
    runner = Runner.from_cfg(cfg)
    before = runner.model.network.query.weight.clone()
    runner.train()
    torch.set_num_threads(threads)
    assert not torch.equal(runner.model.network.query.weight, before)
    assert runner.val_dataloader.dataset.metainfo['classes'] == ('ground', 'leaf')
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    assert (tmp_path / 'work/iter_2.pth').is_file()


def _write_images(folder, split):
    for kind in ('images', 'labels'):
        (folder / kind / split).mkdir(parents=True)
    rng = np.random.RandomState(0)
    for index in range(2):
        labels = np.zeros((60, 90), np.uint8)
        labels[20:40, 20:70] = 1
        image = np.where(labels[..., None] > 0, (60, 160, 60), (120, 90, 60)) + rng.randint(0, 30, (60, 90, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / 'images' / split / f'{index}.jpg')
        Image.fromarray(labels).save(folder / 'labels' / split / f'{index}.png')

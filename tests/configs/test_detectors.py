"""configs/_base_/detectors on configs/_base_/backbones: each pair, by one name in a shipped config."""
import re

import pytest
import torch
from checkout import without_memory
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from shrink import ROOT, scope
from stock import build, detection_batch, shrink
from test_stock_configs import learn

from densevit.models.check import check_model
from densevit.models.pretraining import without_pretraining

BASES = ROOT / 'configs/_base_'
SHIPPED = dict(
    mask_rcnn='vitdet/mask_rcnn_vitdet_b', cascade_mask_rcnn='vitdet/cascade_mask_rcnn_vitdet_b',
    dino='detection/dino_vitdet_b', deformable_detr='detection/deformable_detr_vitadapter_s',
    ddq_detr='detection/ddq_detr_vitcomer_s', conditional_detr='detection/conditional_detr_hieradet_s',
    dab_detr='detection/dab_detr_swin_t')
BACKBONES = sorted(path.stem for path in (BASES / 'backbones').glob('*.py'))


def with_backbone(detector, name, folder):
    shipped = (ROOT / f'configs/{SHIPPED[detector]}_coco.py').read_text().replace("'../_base_", f"'{BASES}")
    (folder / 'config.py').write_text(re.sub(r'/backbones/\w+\.py', f'/backbones/{name}.py', shipped))
    return Config.fromfile(folder / 'config.py')


def test_every_detector_is_shipped_with_a_backbone():
    assert SHIPPED.keys() == {path.stem for path in (BASES / 'detectors').glob('*.py')}


@pytest.mark.parametrize('detector', SHIPPED)
def test_detector__on_every_backbone(detector, tmp_path):
    """At full size, without memory: the neck fits, all of the backbone has rates, and nothing of a ResNet is left."""
    for name in BACKBONES:
        cfg = with_backbone(detector, name, tmp_path)
        assert 'style' not in cfg.model.backbone and 'custom_keys' not in cfg.optim_wrapper.paramwise_cfg
        with scope(cfg), without_memory():
            model = MODELS.build(without_pretraining(cfg.model))
        check_model(model)
        strides = (4, 8, 16, 32, 64) if 'mask_rcnn' in detector else (8, 16, 32)
        if detector in ('conditional_detr', 'dab_detr'):
            strides = (32, ) if name in ('hieradet_s', 'swin_t') else (16, )
        assert model.backbone.strides in (strides, strides[:4])
        with scope(cfg):
            groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
        decay = cfg.rates.layer_decay
        slowest = min(group['lr'] for group in groups) / cfg.optim_wrapper.optimizer.lr
        assert slowest == pytest.approx(decay**(model.backbone.depth + 1))


@pytest.mark.parametrize(('detector', 'backbone'), [
    ('cascade_mask_rcnn', 'hieradet_s'), ('dino', 'swin_t'), ('conditional_detr', 'vitdet_b'),
    ('conditional_detr', 'vitadapter_s'), ('dab_detr', 'vitcomer_s')])
def test_detector__learns_on_another_backbone(detector, backbone, tmp_path):
    """Every parameter: also those of an adapter of which one map is read."""
    cfg = shrink(with_backbone(detector, backbone, tmp_path))
    model = build(cfg)
    with scope(cfg):
        assert learn(model, build_optim_wrapper(model, cfg.optim_wrapper), detection_batch()) == []
        samples = model.eval().val_step(detection_batch())
    assert all(len(sample.pred_instances) and sample.pred_instances.bboxes.isfinite().all() for sample in samples)

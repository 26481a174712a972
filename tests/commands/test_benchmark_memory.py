"""tools/benchmark.py memory: what a training step holds, of which a frozen or adapted backbone takes less."""
from __future__ import annotations

import copy

import pytest
import torch
from checkout import ROOT
from stock_models import stock_config

from densevit.benchmarks import training_memory
from densevit.benchmarks.models import Setting

CPU = Setting((128, 192), torch.device('cpu'), batch=2)
CONFIG = """
model = dict(
    type='densevit.PixelSegmentor', num_classes=3, head=dict(type='densevit.LinearNet', norm=False),
    backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=4, num_heads=2,
                  class_token=False))
"""


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_weights_moments_and_a_step(tmp_path):
    path = tmp_path / 'linear.py'
    path.write_text(CONFIG)
    reports = {report.name: report for report in training_memory.measure(path, CPU, dict(r=2), recompute=True)}
    full, frozen = reports['full'], reports['frozen backbone']
    head = 32 * 3 + 3
    block = 12 * 32**2 + 13 * 32
    assert full.trained == 4 * block + 768 * 32 + 32 + 16 * 32 + 2 * 32 + head and frozen.trained == head
    assert full.weights == frozen.weights
    # AdamW: two moments of each number, and the count of steps of each tensor.
    assert full.optimizer - 8 * full.trained in range(4 * 60) and frozen.optimizer == 8 * head + 2 * 4
    assert full.step > 4 * full.trained  # the gradients are there together
    half = reports['LoRA, 2 of 4 stages frozen']
    adapters = 2 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32)
    assert reports['LoRA'].trained == 4 * adapters + head and half.trained == 2 * adapters + head
    assert frozen.peak < half.peak < reports['LoRA in attention'].peak < reports['LoRA'].peak < full.peak
    assert reports['LoRA, recomputed'].step < reports['LoRA'].step
    assert reports['full, recomputed'].step < full.step


@pytest.mark.parametrize('name', ['lwdetr_tiny_bccd', 'eomt_tiny_camvid'])
def test_frozen_and_adapted_runs_take_less_than_three_fifths(name):
    """Boxes and masks of real configs, in small images: of both, the stem keeps most."""
    pytest.importorskip('mmdet')
    reports = list(training_memory.measure(ROOT / 'configs' / 'tiny' / f'{name}.py', CPU, dict(r=8)))
    assert all(report.peak < .6 * reports[0].peak for report in reports[1:])


def test_depth(tmp_path):
    path = tmp_path / 'depth.py'
    path.write_text(CONFIG.replace('PixelSegmentor', 'MonocularDepth').replace('num_classes=3, ', '').replace(
        "type='densevit.LinearNet', norm=False", "type='densevit.DPTDepth', channels=(8, ) * 4, width=8").replace(
            'class_token=False', 'class_token=False, out_indices=(0, 1, 2, 3)'))
    reports = list(training_memory.measure(path, CPU, dict(r=2)))
    assert reports[1].peak < reports[4].peak < reports[2].peak < reports[0].peak


def test_stock_models_with_our_backbones(tmp_path, quick_runs):
    pytest.importorskip('mmdet')
    swin = dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224', embed_dim=16, depths=(1, 1, 2, 1),
                num_heads=(1, 2, 2, 4), norm_out=True)
    cfg = copy.deepcopy(stock_config('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco'))
    cfg.model.backbone, cfg.model.neck.in_channels = swin, [16, 32, 64, 128]
    thin = {
        'neck.out_channels': 8, 'rpn_head.in_channels': 8, 'rpn_head.feat_channels': 8,
        'roi_head.bbox_roi_extractor.out_channels': 8, 'roi_head.bbox_head.in_channels': 8,
        'roi_head.bbox_head.fc_out_channels': 8, 'roi_head.mask_roi_extractor.out_channels': 8,
        'roi_head.mask_head.in_channels': 8, 'roi_head.mask_head.conv_out_channels': 8,
        'train_cfg.rpn_proposal.max_per_img': 20, 'train_cfg.rcnn.sampler.num': 16}
    cfg.merge_from_dict({f'model.{name}': value for name, value in thin.items()})
    cfg.dump(tmp_path / 'stock.py')
    reports = list(training_memory.measure(tmp_path / 'stock.py', CPU, dict(r=2)))
    assert reports[1].trained < reports[2].trained < reports[0].trained
    stock_config('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco').dump(tmp_path / 'other.py')
    with pytest.raises(ValueError, match='only backbones of densevit'):
        list(training_memory.measure(tmp_path / 'other.py', CPU, {}))


def test_table(tool, tmp_path, capsys):
    path = tmp_path / 'linear.py'
    path.write_text(CONFIG)
    assert tool('benchmark', 'memory', path, '--size', '64x96', '--batch', 1, '--threads', 1, '--lora', 'r=2',
                'alpha=4', '--out', tmp_path / 'table.md') == 0
    for text in (capsys.readouterr().out, (tmp_path / 'table.md').read_text()):
        assert 'frozen backbone' in text and '100%' in text and '1 images of 64x96' in text.replace('\n', ' ')
    assert tool('benchmark', 'memory', path, '--objects', 0) == 2

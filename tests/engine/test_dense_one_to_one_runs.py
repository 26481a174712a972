"""DEIM's recipe through the tools: a run that was killed in its middle and resumed is one that was not."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkout import ROOT
from rectangles import write_rectangles
from test_resume import Killed, assert_same, load, with_hook

CONFIG = """
_base_ = '{root}/configs/tiny/deim_tiny_animals.py'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='densevit.DenseOneToOne', starts=(1 / 8, 5 / 8, 7 / 8), size=48, mosaic=.8),
    dict(type='mmdet.RandomFlip', prob=.5), dict(type='mmdet.Resize', scale=(96, 96), keep_ratio=False),
    dict(type='mmdet.FilterAnnotations', keep_empty=False), dict(type='mmdet.PackDetInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{data}', ann_file='instances.json', filter_cfg=None, pipeline=train_pipeline,
        metainfo=dict(_delete_=True, classes=['colour 0', 'colour 1', 'colour 2', 'colour 3', 'colour 4'])))
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(type='densevit.MixUpOrCopyBlend', mix_up_during=(1 / 8, 5 / 8), copy_blend_during=(1 / 8, 7 / 8)),
        dict(type='densevit.MultiScaleBatch', until=7 / 8, repeat=1)]),
    backbone=dict(init_cfg=None, embed_dim=32, num_heads=2, img_size=(96, 96)),
    head=dict(
        embed_dim=32, num_queries=10, num_layers=2, num_heads=2, ffn_dim=32, encoder_ffn_dim=32, num_denoising=10),
    criterion=dict(late_matching=6 / 8))
train_cfg = dict(max_iters=8)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
custom_hooks = [dict(type='densevit.ProgressOfRunHook'), dict(type='mmengine.EMAHook', momentum=.1)]
default_hooks = dict(checkpoint=dict(interval=2))
"""


def test_resumed_run_is_one_that_was_never_stopped(tool, tmp_path, monkeypatch):
    """Workers read ahead of the model, and the resumed run has none."""
    data = write_rectangles(tmp_path / 'data')
    config = tmp_path / 'dense.py'
    config.write_text(CONFIG.format(root=Path(ROOT).as_posix(), data=data.as_posix()))
    seen = []
    from mmdet.models import DetDataPreprocessor
    forward = DetDataPreprocessor.forward

    def watch(self, data, training=False):
        before = sum(len(sample.gt_instances) for sample in data['data_samples'])
        found = forward(self, data, training)
        seen.append((tuple(found['inputs'].shape[-2:]), sum(len(sample.gt_instances) for sample in
                                                            found['data_samples']) - before))
        return found

    monkeypatch.setattr(DetDataPreprocessor, 'forward', watch)
    assert tool('train', config, '--work-dir', tmp_path / 'whole', '--cfg-options',
                'train_dataloader.num_workers=2') == 0
    whole = list(seen)
    assert len(whole) == 8 and len({size for size, _ in whole[:7]}) > 1 and any(added for _, added in whole[1:7])
    assert whole[7] == ((96, 96), 0) and not whole[0][1]
    with pytest.raises(Killed):
        tool('train', with_hook(config), '--work-dir', tmp_path / 'killed', '--cfg-options',
             'custom_hooks.2.type=KillForTestHook', 'custom_hooks.2.iteration=5')
    seen.clear()
    assert tool('train', config, '--work-dir', tmp_path / 'killed', '--resume') == 0
    assert seen == whole[4:]
    states = [load(tmp_path / name / 'iter_8.pth') for name in ('whole', 'killed')]
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same(states[0][part], states[1][part], part)
    assert all(torch.isfinite(value).all() for value in states[0]['state_dict'].values())

"""The best checkpoint of the validations is kept, by the metric of the task."""
from __future__ import annotations

import os

import pytest
from mmengine.config import Config
from toy import load, names, toy_run

from densevit.engine import run_config
from densevit.engine.checkpoints import task_metric

pytestmark = pytest.mark.usefixtures('quick_runs')


def test_the_metric_is_that_of_the_task():
    for figures, chosen in (
        (('aAcc', 'mIoU', 'mAcc'), 'mIoU'),  # mmsegmentation's
        (('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP', 'coco/segm_mAP_50'), 'coco/segm_mAP'),  # mmdetection's
        (('coco/bbox_mAP', 'coco/bbox_mAP_50'), 'coco/bbox_mAP'),
        (('coco/bbox_mAP', 'mIoU', 'coco_panoptic/PQ', 'coco_panoptic/SQ'), 'coco_panoptic/PQ'),
        (('PQ', 'SQ', 'RQ', 'PQ_th'), 'PQ'), (('AP', 'AP50', 'AR'), 'AP'),  # ours
        (('coco/AR@100', 'coco/AR@300'), 'coco/AR@100'),
    ):
        assert task_metric(dict.fromkeys(figures, 0.)) == chosen


def test_runs_keep_the_best_unless_they_say_otherwise():
    def chosen(**checkpoint):
        cfg = Config(dict(val_evaluator=dict(type='IoUMetric'), train_cfg=dict(max_iters=100), default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=10, **checkpoint))))
        run_config.add_hooks(cfg)
        return cfg.default_hooks.checkpoint.save_best

    assert chosen() == 'auto' and chosen(save_best=None) is None and chosen(save_best='mAcc') == 'mAcc'
    cfg = Config(dict(train_cfg=dict(max_iters=100)))
    run_config.add_hooks(cfg)
    assert 'save_best' not in cfg.default_hooks.checkpoint  # there is no validation


@pytest.mark.parametrize('name', ['PQ', 'coco/segm_mAP'])
def test_greater_is_better_and_the_earlier_best_goes(tmp_path, name):
    toy_run(tmp_path, figures=[{name: value} for value in (1., 3., 2.)])
    best = f'best_{name.replace("/", "_")}_iter_4.pth'
    assert names(tmp_path) == [best, 'iter_2.pth', 'iter_4.pth', 'iter_6.pth']
    assert load(tmp_path / best)['message_hub']['runtime_info']['best_score'] == 3.


def test_a_metric_of_which_nobody_knows_the_better_end_is_no_error(tmp_path):
    toy_run(tmp_path, figures=[dict(weirdness=1.)] * 3)
    assert names(tmp_path) == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth']


def test_a_metric_that_there_is_not_is_named(tmp_path):
    with pytest.raises(KeyError, match="save_best='mIoU' is none .*: choose of AP, AP50, or 'auto'"):
        toy_run(tmp_path, figures=[dict(AP=1., AP50=1.)], save_best='mIoU')


def test_two_metrics_have_a_best_checkpoint_each(tmp_path):
    toy_run(tmp_path, figures=[dict(AP=a, mIoU=b) for a, b in ((1., 3.), (2., 2.), (0., 1.))], save_best=['AP', 'mIoU'])
    assert names(tmp_path)[:2] == ['best_AP_iter_4.pth', 'best_mIoU_iter_2.pth']


def test_no_checkpoint_beside_the_interval_is_written_for_a_best_one(tmp_path):
    toy_run(tmp_path, figures=[dict(AP=value) for value in (1., 2., 3.)], **{'default_hooks.checkpoint.interval': 5})
    assert names(tmp_path) == ['best_AP_iter_6.pth', 'iter_5.pth', 'iter_6.pth']


def test_a_resumed_run_knows_the_best_so_far(tmp_path):
    toy_run(tmp_path, figures=[dict(AP=value) for value in (1., 3.)], **{'train_cfg.max_iters': 4})
    toy_run(tmp_path, 'auto', figures=[dict(AP=2.), dict(AP=4.)], **{'train_cfg.max_iters': 8})
    assert names(tmp_path)[:2] == ['best_AP_iter_8.pth', 'iter_2.pth']


def test_resuming_in_a_copy_removes_nothing_of_the_original(tmp_path):
    toy_run(tmp_path / 'a', figures=[dict(AP=1.), dict(AP=0.)], **{'train_cfg.max_iters': 4})
    toy_run(tmp_path / 'b', str(tmp_path / 'a' / 'iter_4.pth'), figures=[dict(AP=2.)])
    assert 'best_AP_iter_2.pth' in names(tmp_path / 'a')
    assert names(tmp_path / 'b') == ['best_AP_iter_6.pth', 'iter_6.pth']


def test_a_kill_while_the_best_is_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    replace = os.replace

    def kill(source, target):
        if 'best_AP_iter_4' in str(target):
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, 'replace', kill)
    with pytest.raises(Killed):
        toy_run(tmp_path, figures=[dict(AP=value) for value in (1., 2., 3.)])
    assert load(tmp_path / 'best_AP_iter_2.pth')['meta']['iter'] == 2

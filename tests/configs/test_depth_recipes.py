"""Recipes of depth: nothing is learned from that the network cannot say, and nothing measured of another data set."""
from pathlib import Path

import pytest
from checkout import ROOT
from mmengine.config import Config

CONFIGS = sorted((ROOT / 'configs/depth_anything').glob('*.py')) + sorted((ROOT / 'configs/dinov2_depth').glob('*.py'))


@pytest.mark.parametrize('path', [path for path in CONFIGS if path.stem.endswith(('vkitti', 'hypersim'))],
                         ids=lambda path: path.stem)
def test_a_sigmoid_learns_no_depth_beyond_its_reach(path: Path):
    """Such as the sky of Virtual KITTI, which its files have at 655 m."""
    cfg = Config.fromfile(path)
    load, = (step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'densevit.LoadDepth')
    assert load.max_depth == cfg.model.head.max_depth == cfg.val_evaluator.max_depth


def test_heights_of_trees_are_not_measured_as_rooms():
    cfg = Config.fromfile(ROOT / 'configs/dinov2_depth/dinov3_vitl_chmv2.py')
    assert cfg.test_evaluator.crop == 'none' and cfg.test_evaluator.max_depth == cfg.model.head.max_depth

from __future__ import annotations

import pytest
from mmengine.registry import HOOKS, MODELS
from toy import ToyModel, toy_run

from densevit.engine import ProgressOfRunHook

pytestmark = pytest.mark.usefixtures('quick_runs')
told = []


@MODELS.register_module(force=True)
class Annealed(ToyModel):
    def set_progress(self, share: float, power: float = 1.) -> None:
        told.append(share**power)


def test_parts_of_a_model_are_told_the_share_of_the_run(tmp_path):
    assert HOOKS.get('densevit.MaskAnnealingHook') is ProgressOfRunHook
    changes = dict(model=dict(type='Annealed'), custom_hooks=[dict(type='densevit.ProgressOfRunHook', power=2)])
    told.clear()
    toy_run(tmp_path, **changes)
    assert told == [(step / 6)**2 for step in range(7)]
    told.clear()
    toy_run(tmp_path, resume=str(tmp_path / 'iter_4.pth'), **changes)
    assert told == [(step / 6)**2 for step in (4, 5, 6)]


def test_an_option_that_no_part_takes_is_named(tmp_path):
    with pytest.raises(TypeError, match="'powr'"):
        toy_run(tmp_path, model=dict(type='Annealed'), custom_hooks=[dict(type='densevit.ProgressOfRunHook', powr=2)])

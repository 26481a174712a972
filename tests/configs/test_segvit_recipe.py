"""SegViT's recipe as published: the rate of the head, and what has no weight decay."""
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from own import build, shrink
from shrink import load, scope

import densevit.registry  # noqa: F401


@pytest.mark.parametrize('name', ['segvit_vitb', 'segvit_shrunk_vitl'])
def test_segvit__heads_learn_faster_and_norms_have_no_weight_decay(name):
    cfg = shrink(load(f'configs/segvit/{name}_ade20k.py'))
    model = build(cfg)
    with scope(cfg):
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    assert {(group['stage'], round(group['lr'], 9)) for group in groups} == {('backbone', 2e-5), ('head', 2e-4)}
    free = {id(parameter) for group in groups if not group['weight_decay'] for parameter in group['params']}
    norms = {id(parameter) for module in model.modules() if isinstance(module, torch.nn.LayerNorm)
             for parameter in module.parameters()}
    assert free == norms

"""Hiera and HieraDet in training configs: what decays."""
from __future__ import annotations

import pytest
from hiera_models import hiera, hiera_det
from mmengine.model import BaseModule

from densevit.engine import LayerDecayConstructor

WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1., weight_decay=.05))


class Model(BaseModule):

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


@pytest.mark.parametrize('build', [hiera_det, hiera])
def test_neither_part_of_absolute_window_positions_decays(build):
    """timm's Hiera spares the global part alone."""
    backbone = build(pos_embed='absolute_window')
    constructor = LayerDecayConstructor(WRAPPER, paramwise_cfg=dict(layer_decay=.5))
    of = {id(p): group for group in constructor.groups(Model(backbone)) for p in group['params']}
    positions = [p for name, p in backbone.named_parameters() if 'pos_embed' in name]
    assert len(positions) == 2
    for position in positions:
        assert of[id(position)]['weight_decay'] == 0 and of[id(position)]['lr'] == pytest.approx(.5**6)
    assert of[id(backbone.trunk.blocks[6].mlp.fc1.weight)] == dict(
        of[id(backbone.trunk.blocks[6].mlp.fc1.weight)], weight_decay=.05, lr=1.)

"""Learning rates by depth and weight decay, against the published rules and the code that has them."""
from __future__ import annotations

import ast

import pytest
import torch
from mmseg.engine.optimizers import LearningRateDecayOptimizerConstructor
from official import repository
from torch import nn

from densevit.adapters.adapter import Adapter
from densevit.backbones import PlainViT
from densevit.engine import LayerDecayConstructor

WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1., weight_decay=.05))


class Trunk(nn.Module):
    """Four blocks, as a backbone shows itself to the constructor."""
    depth = 4

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 2, 3))
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))
        self.norm = nn.LayerNorm(3)

    def layer_index(self, name: str) -> int:
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1
        return 5 if name.startswith('norm') else 0


def groups(model=None, **paramwise):
    """The group of each parameter by its name."""
    model = model or nn.ModuleDict(dict(backbone=Trunk(), head=nn.Linear(3, 2)))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = LayerDecayConstructor(WRAPPER, paramwise).groups(model)
    by_name = {names[id(parameter)]: group for group in found for parameter in group['params']}
    assert by_name.keys() == set(names.values())
    return by_name


def tiny_vit():
    return PlainViT(embed_dim=16, depth=3, num_heads=2, patch_size=8, img_size=32, init_values=.1)


def test_rule_eomt__last_block_at_the_full_rate():
    rates = groups(layer_decay=.8, no_decay=())
    for block in range(4):
        assert rates[f'backbone.blocks.{block}.weight']['lr'] == pytest.approx(.8**(3 - block))
    assert rates['backbone.pos_embed']['lr'] == pytest.approx(.8**3)
    assert rates['backbone.norm.weight']['lr'] == rates['head.weight']['lr'] == 1.
    assert {group['weight_decay'] for group in rates.values()} == {.05}
    assert rates['backbone.norm.weight']['stage'] == 'backbone' and rates['head.weight']['stage'] == 'head'


@pytest.mark.parametrize('in_an_adapter', [False, True])
def test_a_stem_with_weights_of_its_own__learns_more_slowly_than_the_blocks(in_an_adapter):
    vit = PlainViT(stem=dict(model_name='resnet10t', out_indices=(1, 2, 3)), img_size=32, embed_dim=16, depth=3,
                   num_heads=2)
    backbone, prefix = (Adapter(vit), 'backbone.vit.') if in_an_adapter else (vit, 'backbone.')
    rates = groups(nn.ModuleDict(dict(backbone=backbone)), layer_decay=.8, stem_lr_mult=.1)
    stem = [name for name in rates if '.patch_embed.backbone.' in name]
    assert stem and all(rates[name]['lr'] == pytest.approx(.8**2 * .1) for name in stem)
    assert rates[f'{prefix}trunk.patch_embed.proj.weight']['lr'] == pytest.approx(.8**2)  # from random weights
    assert rates[f'{prefix}trunk.blocks.2.norm1.weight']['lr'] == 1.


class BEiTNames(nn.Module):
    """A ViT of ours under the names that mmseg's constructor reads."""

    def __init__(self, vit: PlainViT) -> None:
        super().__init__()
        trunk = vit.trunk
        self.cls_token, self.pos_embed = trunk.cls_token, trunk.pos_embed
        self.patch_embed, self.layers, self.norm = trunk.patch_embed, trunk.blocks, trunk.norm


def test_rule_beit__equals_mmseg():
    vit, head = tiny_vit(), nn.Linear(16, 2)
    ours = groups(nn.ModuleDict(dict(backbone=vit, head=head)), layer_decay=.7, rule='beit', no_decay=('vectors', ))
    ours = {id(parameter): (group['lr'], group['weight_decay']) for group in ours.values()
            for parameter in group['params']}
    model = nn.Module()
    model.backbone, model.head = BEiTNames(vit), head
    reference = LearningRateDecayOptimizerConstructor(
        WRAPPER, dict(num_layers=3, decay_rate=.7, decay_type='layer_wise'))
    theirs: list[dict] = []
    reference.add_params(theirs, model)
    theirs = {id(parameter): (group['lr'], group['weight_decay']) for group in theirs for parameter in group['params']}
    assert ours.keys() == theirs.keys() and len({lr for lr, _ in theirs.values()}) == 5
    for key, values in theirs.items():
        assert ours[key] == pytest.approx(values)


def test_rule_beit__equals_vitdet():
    source = (repository('detectron2') / 'detectron2/modeling/backbone/vit.py').read_text()
    function = next(node for node in ast.parse(source).body if getattr(node, 'name', '') == 'get_vit_lr_decay_rate')
    space: dict = {}
    exec(compile(ast.Module([function], []), 'vit.py', 'exec'), space)
    model = nn.ModuleDict(dict(backbone=tiny_vit(), head=nn.Linear(16, 2)))
    del model['backbone'].trunk.cls_token  # as in ViTDet, which neither has one nor names it
    model['backbone'].trunk.norm = nn.Identity()
    for name, group in groups(model, layer_decay=.7, rule='beit').items():
        assert group['lr'] == pytest.approx(space['get_vit_lr_decay_rate'](name, lr_decay_rate=.7, num_layers=3)), name


class Around(Adapter):
    """An adapter with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__(tiny_vit())
        self.level_embed = nn.Parameter(torch.zeros(3, 16))


def test_adapter__its_vit_is_decayed_and_the_rest_is_not():
    rates = groups(nn.ModuleDict(dict(backbone=Around())), layer_decay=.7, rule='beit')
    assert rates['backbone.level_embed']['lr'] == 1. and rates['backbone.level_embed']['weight_decay'] == .05
    assert rates['backbone.vit.trunk.patch_embed.proj.weight']['lr'] == pytest.approx(.7**4)
    for block in range(3):
        assert rates[f'backbone.vit.trunk.blocks.{block}.attn.qkv.weight']['lr'] == pytest.approx(.7**(3 - block))
    assert rates['backbone.vit.trunk.norm.weight']['lr'] == 1.


def test_last_blocks_may_keep_the_full_rate():
    rates = groups(layer_decay=.8, full_lr_blocks=2, backbone_lr_mult=.1)
    assert rates['backbone.blocks.3.weight']['lr'] == rates['backbone.blocks.2.weight']['lr'] == pytest.approx(.1)
    assert rates['backbone.blocks.1.weight']['lr'] == pytest.approx(.1 * .8**2)


def test_names_outside_the_backbone_may_learn_as_its_embedding():
    head = nn.ModuleDict(dict(query=nn.Embedding(3, 2), mask=nn.Linear(2, 2)))
    model = nn.ModuleDict(dict(backbone=Trunk(), head=head))
    rates = groups(model, layer_decay=.9, rule='beit', as_embedding=('head.query', ))
    assert rates['head.query.weight']['lr'] == rates['backbone.pos_embed']['lr'] == pytest.approx(.9**5)
    assert rates['head.mask.weight']['lr'] == 1.
    with pytest.raises(ValueError, match='as_embedding needs a model with a backbone'):
        groups(nn.ModuleDict(dict(head=nn.Linear(2, 2))), as_embedding=('head', ))


def undecayed(model=None, **paramwise):
    return {name for name, group in groups(model, **paramwise).items() if not group['weight_decay']}


def test_weight_decay__spares_what_is_asked_for():
    everything = groups().keys()
    weights = {*(f'backbone.blocks.{block}.weight' for block in range(4)), 'head.weight'}
    assert undecayed() == everything - weights
    assert undecayed(no_decay=('vectors', )) == everything - weights - {'backbone.pos_embed'}
    assert undecayed(no_decay=('norms', 'pos_embed')) == {
        'backbone.pos_embed', 'backbone.norm.weight', 'backbone.norm.bias'}
    assert undecayed(no_decay=()) == set()


def test_weight_decay__may_spare_learned_queries():
    head = nn.ModuleDict(dict(query=nn.Embedding(4, 8), mask=nn.Linear(8, 8), norm=nn.LayerNorm(8)))
    assert undecayed(head, no_decay=('embeddings', )) == {'query.weight'}


def test_weight_decay__by_default_spares_positions_and_tokens_of_any_name():
    model = nn.Module()
    model.pos_embed_window = nn.Parameter(torch.zeros(1, 3, 8, 8))
    model.cls_token = nn.Parameter(torch.zeros(1, 1, 3))
    model.rel_pos_h = nn.Parameter(torch.zeros(5, 3))
    assert undecayed(model) == {'pos_embed_window', 'cls_token'}


def test_wrong_option_is_refused():
    for options, message in (
        (dict(layr_decay=.8), 'does not know paramwise_cfg.*layer_decay'),
        (dict(rule='biet'), "paramwise_cfg.rule is 'biet'; it can be 'eomt' or 'beit'"),
        (dict(no_decay='norms'), 'no_decay is a list of names'),
    ):
        with pytest.raises(ValueError, match=message):
            groups(**options)


def test_names_with_a_rate_of_their_own():
    model = nn.ModuleDict(dict(head=nn.Linear(2, 2), classifier=nn.Linear(2, 2)))
    rates = groups(model, lr_mult=dict(classifier=.25))
    assert {name: group['lr'] for name, group in rates.items()} == {
        'head.weight': 1., 'head.bias': 1., 'classifier.weight': .25, 'classifier.bias': .25}
    with pytest.raises(ValueError, match="'clasifier'"):
        groups(model, lr_mult=dict(clasifier=.25))

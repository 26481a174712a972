"""Checkpoints of models with and without low-rank adapters go into each other, and the model computes the same."""
from __future__ import annotations

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from randomised import randomise
from safetensors.torch import load_file
from test_round_trip import BACKBONES, NETWORKS, NUM_CLASSES, STOCK, build, config, stock, written

import densevit
from densevit.inference.loading import build_model
from densevit.registry import MODELS
from densevit.weights import WeightsError, load_weights, publish
from densevit.weights.lora import merge_adapters

LORA = dict(r=3, alpha=6)
NAMES = ('EoMT', 'LWDETR', 'SegFormerNet', 'DPTDepth')


def with_lora(name, lora=LORA, seed=1, num_classes=NUM_CLASSES):
    backbone, options = NETWORKS[name]
    return build(config(name, dict(backbone, lora=lora), options, num_classes), seed)


def plain(name, seed=2, num_classes=NUM_CLASSES):
    return build(config(name, *NETWORKS[name], num_classes), seed)


@torch.no_grad()
def outputs(model):
    """All tensors that the network gives."""
    found, images = [], torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    def collect(value):
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    collect(model.eval().network(images))
    return found


def same(ours, theirs, tolerance=1e-5):
    assert len(ours) == len(theirs) > 0
    for x, y in zip(ours, theirs, strict=True):
        assert float((x - y).abs().max()) <= tolerance * max(1., float(y.abs().max()))


@pytest.mark.parametrize('name', NAMES)
def test_a_checkpoint_of_an_adapted_run_is_read_with_and_without_adapters(name, tmp_path):
    source, path = with_lora(name), tmp_path / 'iter_2.pth'
    written(with_lora(name, seed=5), source, path)
    expected = outputs(source)
    report = load_weights(model := with_lora(name, seed=3), path)
    assert not report.missing and not report.zeroed and not report.kept and not report.left
    same(outputs(model), expected, 0.)
    report = load_weights(model := plain(name), path)
    assert not report.missing and not report.left
    same(outputs(model), expected)
    for other, anew in ((dict(r=2), True), (dict(LORA, alpha=3), True), (dict(LORA, targets=('attn', )), False)):
        report = load_weights(model := with_lora(name, other, seed=4), path)
        assert bool(report.zeroed) == anew and all(key.endswith('lora_B.weight') for key in report.zeroed)
        same(outputs(model), expected)
    backbone = plain(name).network.backbone
    load_weights(backbone, path)  # of a whole model
    model = plain(name)
    load_weights(model, path)
    torch.testing.assert_close(backbone.state_dict(), model.network.backbone.state_dict(), rtol=0, atol=0)
    predictor = densevit.load(config(name, *NETWORKS[name]), path, device='cpu')
    same(outputs(predictor.model), expected)


@pytest.mark.parametrize('name', NAMES)
def test_a_plain_checkpoint_begins_adapters_anew(name):
    source = plain(name)
    model = with_lora(name, seed=3)  # as if it had learned something
    report = load_weights(model, source.state_dict())
    assert not report.left and {key.rpartition('lora_')[2] for key in report.kept} == {'A.weight', 'scaling'}
    assert not [key for key in report.missing if 'lora_' not in key]
    same(outputs(model), outputs(source))


@pytest.mark.parametrize('adapted', [True, False])
def test_new_classes_keep_what_adapters_learned(adapted):
    source = with_lora('EoMT')
    model = with_lora('EoMT', seed=3, num_classes=5) if adapted else plain('EoMT', num_classes=5)
    report = load_weights(model, source.state_dict(), load_class_head=False)
    assert sorted(report.kept) == ['class_head.bias', 'class_head.weight']
    same([outputs(model)[0]], [outputs(source)[0]])


@pytest.mark.parametrize('name', BACKBONES)
def test_what_a_backbone_merges_is_its_own(name):
    backbone, plain_one = (randomise(MODELS.build(dict(BACKBONES[name], type=f'densevit.{name}', **options)), seed)
                           for seed, options in enumerate((dict(lora=LORA), {})))
    load_weights(plain_one, backbone.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        same(plain_one.eval()(images), backbone.eval()(images))


def test_official_weights_load_as_into_a_plain_model(tmp_path):
    options = dict(type='densevit.PlainViT', name='vit_small_patch16_224', embed_dim=32, depth=2, num_heads=2)
    trunk = randomise(timm.create_model('vit_small_patch16_224', embed_dim=32, depth=2, num_heads=2))
    torch.save(trunk.state_dict(), tmp_path / 'official.pth')
    images, maps = torch.randn(1, 3, 64, 96), []
    for changes in (dict(), dict(lora=LORA)):
        backbone = MODELS.build(dict(
            options, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth')), **changes))
        backbone.init_weights()
        maps.append(backbone.eval()(images)[0].detach())
    same([maps[1]], [maps[0]])


def test_published_weights_load_in_the_plain_config(tmp_path):
    source, path = with_lora('EoMT'), tmp_path / 'iter_2.pth'
    written(with_lora('EoMT', seed=5), source, path)
    merged = plain('EoMT')
    merged.load_state_dict(merge_adapters(source.state_dict()))  # every name
    same(outputs(merged), outputs(source))
    file, card = publish.publish_weights(path, 'eomt_tiny_camvid', dict(mIoU=.5), folder=tmp_path)
    state = load_file(file)
    assert not [key for key in state if 'lora' in key]
    report = load_weights(model := plain('EoMT', 7), file)
    assert not report.missing and not report.left
    halved = plain('EoMT', 8)
    load_weights(halved, publish.half_precision(merged.state_dict()))
    same(outputs(model), outputs(halved))


def test_openmmlabs_own_reader_and_writer_know_the_names():
    """Resuming, and the stock tools."""
    source, model = with_lora('EoMT'), with_lora('EoMT', seed=3)
    state = get_state_dict(source)
    assert state.keys() == source.state_dict().keys()
    load_state_dict(model, dict(state), strict=True)
    same(outputs(model), outputs(source), 0.)
    with pytest.raises(ValueError, match='scaled by 2 and those of the config by 1: set alpha / r'):
        load_state_dict(with_lora('EoMT', dict(LORA, alpha=3)), dict(state))


def test_a_stock_model_with_adapters():
    source = randomise(_stock(dict(lora=LORA)), 1)
    model = stock(2)
    report = load_weights(model, source.state_dict())
    assert not report.missing and not report.left
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        same([model.eval()(images)], [source.eval()(images)])


def _stock(changes):
    cfg = Config(STOCK)
    cfg.model.backbone.update(changes)
    return build_model(cfg)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda state: state.pop(next(key for key in state if key.endswith('lora_A.weight'))), 'but no .*lora_A.weight'),
    (lambda state: state.pop(next(key for key in state if key.endswith('qkv.weight'))), 'qkv.weight'),
    (lambda state: state.update({key: value[:, :-1] for key, value in state.items() if key.endswith('lora_A.weight')}),
     'does not fit'),
    (lambda state: state.update({key: value * torch.nan for key, value in state.items()
                                 if key.endswith('lora_A.weight')}), 'NaN')])
@pytest.mark.parametrize('adapted', [True, False])
def test_damaged_adapters_are_refused_in_a_line(change, message, adapted):
    state = dict(with_lora('EoMT').state_dict())
    change(state)
    model = with_lora('EoMT', seed=3) if adapted else plain('EoMT')
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_weights(model, state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


"""Checkpoints for ViT-P: classifiers of its authors, and any for its proposer; test_vit_p.py compares classes."""
from __future__ import annotations

from functools import partial

import pytest
import torch
from official import fill

from densevit import PlainViT, load_weights
from densevit.models.pretraining import without_pretraining
from densevit.models.segmentation import vit_p as vit_p_proposer
from densevit.networks.segmentation import EoMT, ViTP
from densevit.registry import MODELS
from densevit.weights.load_report import WeightsError

NUM_CLASSES = 4
SIZES = dict(embed_dim=32, depth=2, num_heads=2, img_size=64)
EOMT = dict(num_queries=3, num_blocks=1)
MODEL = dict(
    type='densevit.MaskSegmentor', num_classes=NUM_CLASSES, backbone=dict(type='densevit.PlainViT', **SIZES),
    head=dict(type='densevit.ViTP',
              proposer=dict(type='densevit.EoMT', backbone=dict(type='densevit.PlainViT', **SIZES), **EOMT)))


def eomt() -> EoMT:
    return EoMT(PlainViT(**SIZES), NUM_CLASSES, **EOMT)


def network() -> ViTP:
    return ViTP(PlainViT(**SIZES, init_values=1.), NUM_CLASSES, eomt())


def authors_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Names of DINOv2 without its class token, with a point embedding and a head."""
    trunk = PlainViT(**SIZES, init_values=1.).trunk
    fill(trunk, seed=seed)
    state = trunk.state_dict()
    del state['cls_token']
    generator = torch.Generator().manual_seed(seed)
    return {**state, 'mask_token': torch.zeros(1, 32),
            'cls_embeddings.weight': torch.randn(32, 2, generator=generator),
            'head.weight': torch.randn(NUM_CLASSES, 32, generator=generator),
            'head.bias': torch.randn(NUM_CLASSES, generator=generator)}


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_authors__classifier_is_filled_and_proposer_kept(prefix):
    model, state = network(), authors_state()
    before = {name: tensor.clone() for name, tensor in model.proposer.state_dict().items()}
    report = load_weights(model, {prefix + name: tensor for name, tensor in state.items()})
    assert 'ViT-P' in report.naming and all(name.startswith('proposer.') for name in report.kept)
    torch.testing.assert_close(dict(model.proposer.state_dict()), before)
    torch.testing.assert_close(model.point_embed.weight, state['cls_embeddings.weight'])
    torch.testing.assert_close(model.class_head.weight, state['head.weight'])
    loaded = model.backbone.trunk.state_dict()
    assert not loaded['cls_token'].any()
    torch.testing.assert_close(loaded['pos_embed'][:, 0], state['pos_embed'][:, 0])
    assert not torch.allclose(loaded['pos_embed'], state['pos_embed'])  # stretched, as the authors' code does
    for name in loaded.keys() - {'cls_token', 'pos_embed'}:
        torch.testing.assert_close(loaded[name], state[name])


def test_authors__without_positions():
    state = authors_state()
    del state['pos_embed']
    with pytest.raises(WeightsError, match='incomplete'):
        load_weights(network(), state)


def test_own__whole_model():
    source, model = network(), network()
    fill(source)
    load_weights(model, source.state_dict())
    torch.testing.assert_close(dict(model.state_dict()), dict(source.state_dict()))


def test_config__proposer_begins_with_its_checkpoint(tmp_path):
    trained = eomt()
    fill(trained)
    torch.save(trained.state_dict(), tmp_path / 'eomt.pth')
    model = MODELS.build(dict(MODEL, head=dict(MODEL['head'], proposer_weights=str(tmp_path / 'eomt.pth'))))
    classifier = model.network.point_embed.weight.clone()
    model.init_weights()
    torch.testing.assert_close(dict(model.network.proposer.state_dict()), dict(trained.state_dict()))
    torch.testing.assert_close(model.network.point_embed.weight, classifier)


def test_config__whole_model_or_classifier_alone(tmp_path):
    """The checkpoint of the proposer is read where what is loaded lacks it, and only there."""
    trained, source = eomt(), network()
    fill(trained, seed=1)
    fill(source, seed=2)
    torch.save(trained.state_dict(), tmp_path / 'eomt.pth')
    head = dict(MODEL['head'], proposer_weights=str(tmp_path / 'eomt.pth'))
    build = partial(MODELS.build, without_pretraining(dict(MODEL, backbone=dict(MODEL['backbone'], init_values=1.),
                                                           head=head)))
    whole, classifier = build(), build()
    whole.init_weights()
    load_weights(whole, source.state_dict())
    torch.testing.assert_close(dict(whole.network.proposer.state_dict()), dict(source.proposer.state_dict()))
    load_weights(classifier, authors_state())
    torch.testing.assert_close(dict(classifier.network.proposer.state_dict()), dict(trained.state_dict()))


def test_config__proposer_without_weights_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(vit_p_proposer, 'print_log', lambda message, **kwargs: told.append(message))
    model = MODELS.build(MODEL)
    assert isinstance(model.network.proposer, EoMT) and model.network.proposer.num_classes == NUM_CLASSES
    model.init_weights()
    assert len(told) == 1 and 'proposer_weights' in told[0]

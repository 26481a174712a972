"""Checkpoints of Mask2Former's authors and of OpenMMLab; transformers' are read in the test of the network."""
from __future__ import annotations

import json
import os

import pytest
import torch
from official import GOLDEN, assert_close, assert_golden, repository, write_golden
from official_mask2former import official_mask2former
from randomised import randomise

from densevit import load_weights
from densevit.backbones import TimmPyramid
from densevit.networks.segmentation import Mask2FormerNet
from densevit.weights import WeightsError

NAMES = GOLDEN / 'mask2former_names.json'


def build():
    swin = TimmPyramid('swin_tiny_patch4_window7_224', img_size=128, norm_out=True, embed_dim=12, depths=(1, 1, 1, 1),
                       num_heads=(1, 1, 2, 2), window_size=4)
    randomise(swin)
    return Mask2FormerNet(swin, 4, num_queries=5, embed_dim=32, num_heads=2, encoder_layers=2, encoder_ffn_dim=48,
                          decoder_layers=4, decoder_ffn_dim=40, mask_dim=64).eval()


def official(channels):
    return official_mask2former(
        channels,
        dict(transformer_dropout=0., transformer_nheads=2, transformer_dim_feedforward=48, transformer_enc_layers=2,
             conv_dim=32, mask_dim=64),
        dict(in_channels=32, num_classes=4, hidden_dim=32, num_queries=5, nheads=2, dim_feedforward=40, dec_layers=4,
             pre_norm=False, mask_dim=64, enforce_input_project=False))


def recorded_state():
    """Random tensors under the names and with the shapes of an official checkpoint."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * (.3 if len(shape) > 1 else .6)
            for name, shape in json.loads(NAMES.read_text())}


def around(model, head):
    backbone = {f'backbone.{name}': tensor for name, tensor in model.backbone.state_dict().items()}
    return {**backbone, **head}


def outputs(model, images):
    return [part for prediction in model(images) for part in prediction]


def images():
    return torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_authors_checkpoints_give_their_outputs():
    model = build()
    if os.environ.get('DENSEVIT_WRITE_GOLDEN') or not NAMES.exists():
        theirs = official(model.backbone.out_channels)
        NAMES.write_text(json.dumps([[name, list(x.shape)] for name, x in theirs.state_dict().items()]) + '\n')
    state = recorded_state()
    report = load_weights(model, {**around(model, state), 'criterion.empty_weight': torch.ones(5)})
    assert "the authors' Mask2Former" in str(report)
    actual = outputs(model, images())
    if os.environ.get('DENSEVIT_OFFICIAL_CODE'):
        theirs = official(model.backbone.out_channels)
        theirs.load_state_dict(state)
        expected = theirs([x.contiguous() for x in model.backbone(images())])
        write_golden('mask2former', expected)
        assert_close(actual, expected)
    assert_golden('mask2former', actual)


@torch.no_grad()
def test_first_names_of_the_queries_are_read():
    model, other = build(), build()
    state = recorded_state()
    load_weights(model, around(model, state))
    state['sem_seg_head.predictor.static_query.weight'] = state.pop('sem_seg_head.predictor.query_feat.weight')
    load_weights(other, around(other, state))
    assert torch.equal(model.query.weight, other.query.weight)


@pytest.mark.parametrize('prefix', ['panoptic_head', 'decode_head'])
@torch.no_grad()
def test_openmmlab_checkpoints_give_their_outputs(prefix):
    from mmdet.models.dense_heads import Mask2FormerHead
    from mmdet.structures import DetDataSample
    from mmengine import ConfigDict
    model = build()
    attention = dict(embed_dims=32, num_heads=2, dropout=0., batch_first=True)
    positions = dict(num_feats=16, normalize=True)

    def layer(width):
        return dict(ffn_cfg=dict(embed_dims=32, feedforward_channels=width, num_fcs=2, ffn_drop=0.))

    head = randomise(Mask2FormerHead(
        list(model.backbone.out_channels), 32, 64, num_things_classes=4, num_stuff_classes=0, num_queries=5,
        num_transformer_feat_level=3,
        pixel_decoder=ConfigDict(
            type='mmdet.MSDeformAttnPixelDecoder', num_outs=3, norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU'), positional_encoding=positions,
            encoder=dict(num_layers=2, layer_cfg=dict(
                layer(48), self_attn_cfg=dict(embed_dims=32, num_heads=2, num_levels=3, num_points=4, dropout=0.,
                                              batch_first=True)))),
        transformer_decoder=ConfigDict(num_layers=4, return_intermediate=True, layer_cfg=dict(
            layer(40), self_attn_cfg=attention, cross_attn_cfg=attention)),
        positional_encoding=positions,
        loss_cls=ConfigDict(type='mmdet.CrossEntropyLoss', class_weight=[1.] * 5),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True), loss_dice=dict(type='mmdet.DiceLoss')))
    load_weights(model, around(model, {f'{prefix}.{name}': x for name, x in head.state_dict().items()}))
    samples = [DetDataSample(metainfo=dict(batch_input_shape=(96, 160), img_shape=(96, 160))) for _ in range(2)]
    classes, masks = head([x.contiguous() for x in model.backbone(images())], samples)
    assert_close(outputs(model, images()), [x for pair in zip(masks, classes, strict=True) for x in pair])


def test_another_size_is_explained():
    model = Mask2FormerNet(build().backbone, 4, num_queries=7, embed_dim=32, num_heads=2, encoder_layers=2,
                           encoder_ffn_dim=48, decoder_layers=4, decoder_ffn_dim=40, mask_dim=64)
    with pytest.raises(WeightsError, match='query'):
        load_weights(model, around(model, recorded_state()))


def test_the_official_code_is_the_one_recorded():
    repository('Mask2Former')
    theirs = official(build().backbone.out_channels)
    assert [[name, list(x.shape)] for name, x in theirs.state_dict().items()] == json.loads(NAMES.read_text())

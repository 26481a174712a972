"""SegFormer's sizes and recipe as published: arXiv:2105.15203, table 1 and section 4.1."""
import pytest
import torch
from checkout import without_memory
from mmengine.optim import build_optim_wrapper
from own import build, shrink
from shrink import load, scope

import densevit.registry  # noqa: F401
from densevit import TimmPyramid
from densevit.networks.segmentation import SegFormerNet

# Millions of parameters of the encoder and of the decoder.
PUBLISHED = dict(b0=(3.4, .4), b1=(13.1, .6), b2=(24.2, 3.3), b3=(44.0, 3.3), b4=(60.8, 3.3), b5=(81.4, 3.3))


def millions(module):
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_published_sizes():
    for size, (encoder, decoder) in PUBLISHED.items():
        cfg = load(f'configs/segformer/segformer_mit{size}_ade20k.py').model
        with without_memory():
            model = SegFormerNet(TimmPyramid(cfg.backbone.name), cfg.num_classes, width=cfg.head.width)
        assert f'mit_{size}_' in cfg.backbone.init_cfg.checkpoint
        assert millions(model.backbone) == pytest.approx(encoder, abs=.15)
        assert millions(model) - millions(model.backbone) == pytest.approx(decoder, abs=.15)


def test_published_rates():
    cfg = shrink(load('configs/segformer/segformer_mitb0_ade20k.py'))
    with scope(cfg):
        groups = build_optim_wrapper(build(cfg), cfg.optim_wrapper).optimizer.param_groups
    assert {(group['stage'], round(group['lr'], 9), group['weight_decay']) for group in groups} == {
        (stage, lr, decay) for stage, lr in (('backbone', 6e-5), ('head', 6e-4)) for decay in (0., .01)}


def test_weights_that_timm_does_not_have():
    with pytest.raises(ValueError, match='timm has no weights of mit_b3: set pretrained=False'):
        TimmPyramid('mit_b3', pretrained=True)

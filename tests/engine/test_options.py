"""Misspelt keys of backbones and of what an adapter builds are found, and what timm takes is let through."""
from __future__ import annotations

import pytest
import timm
import torch
from mmengine.config import Config

from densevit.engine.options import OptionError, check_config, check_options
from densevit.registry import MODELS

VIT = dict(name='vit_small_patch16_224', drop_path_rate=.1, window_size=7)


def config(**vit):
    backbone = dict(type='densevit.SimpleFeaturePyramid', vit={**VIT, **vit}, out_channels=32)
    return Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder', backbone=backbone)))


def test_keys_of_an_adapters_vit():
    check_config(config())
    check_options(config(), {'model.backbone.vit.img_size': 512})
    with pytest.raises(OptionError, match=r"model\.backbone\.vit\.drop_path: densevit\.PlainViT does not take "
                                          r"'drop_path'; did you mean 'drop_path_rate'\?"):
        check_config(config(drop_path=.1))
    with pytest.raises(OptionError, match=r"did you mean 'model\.backbone\.vit\.window_size'\?"):
        check_options(config(), {'model.backbone.vit.window_sise': 8})
    with pytest.raises(OptionError, match="'init_cfg'"):
        check_config(config(init_cfg=dict(type='Pretrained', checkpoint='w.pth')))


def test_keys_of_an_adapter():
    cfg = config()
    cfg.model.backbone.scale_factor = (4., )
    with pytest.raises(OptionError, match="did you mean 'scale_factors'"):
        check_config(cfg)


def around(backbone):
    return Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder', backbone=backbone)))


NAMED = {
    'PlainViT': dict(type='densevit.PlainViT', name='vit_tiny_patch16_224'),
    'TimmPyramid': dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224'),
    'HieraDet': dict(type='densevit.HieraDet', name='sam2_hiera_tiny'),
    'Hiera': dict(type='densevit.Hiera', name='hiera_tiny_224'),
}


@pytest.mark.parametrize('option', [
    dict(pretrained_cfg_overlay=dict(file='w.pth')), dict(pretrained_cfg=dict(file='w.pth')),
    dict(checkpoint_path='w.pth'), dict(cache_dir='weights'), dict(pretrained_strict=False)], ids=', '.join)
@pytest.mark.parametrize('kind', NAMED)
def test_options_of_timm_itself(kind, option):
    """Where weights lie, for whatever has the name of a timm model."""
    check_config(around({**NAMED[kind], **option}))
    check_options(around(NAMED[kind]), {f'model.backbone.{key}': value for key, value in option.items()})
    check_config(config(**option))
    with pytest.raises(OptionError, match='does not take'):
        check_config(around({'type': 'densevit.PlainViT', **option}))  # timm is not asked for a model


@pytest.mark.parametrize('name, option', [
    ('xcit_nano_12_p16_224', dict(eta=1e-5)), ('efficientformerv2_s0', dict(layer_scale_init_value=1e-3)),
    ('efficientnet_b0', dict(bn_eps=1e-3)), ('nextvit_small', dict(stem_chs=(64, 32, 64))),
    ('mobilenetv3_small_050', dict(se_layer=None)), ('swin_tiny_patch4_window7_224', dict(always_partition=True)),
    ('resnet10t', dict(block_args=dict()))])
def test_options_of_a_family(name, option):
    """Each family of pyramids has its own."""
    backbone = dict(type='densevit.TimmPyramid', name=name)
    check_config(around({**backbone, **option}))
    key, value = *option, *option.values()
    check_options(around(backbone), {f'model.backbone.{key}': value})
    check_options(around(NAMED['TimmPyramid']), {'model.backbone.name': name, f'model.backbone.{key}': value})
    with torch.device('meta'):
        timm.create_model(name, **option)


def test_misspelt_keys_of_a_pyramid():
    """By the checks where the family's constructor is known, else by timm as the model is built."""
    with pytest.raises(OptionError, match="did you mean 'norm_out'"):
        check_config(around(dict(NAMED['TimmPyramid'], norm_outt=True)))
    unknown = dict(type='densevit.TimmPyramid', name='efficientnet_b0', norm_outt=True)
    check_config(around(unknown))
    with pytest.raises(ValueError, match='efficientnet_b0 cannot be built with norm_outt=True'):
        MODELS.build(unknown)


def test_a_key_vit_of_others():
    """Its arguments are their own affair."""
    for type_ in ('mmdet.Bar', 'Bar', None):
        cfg = around(dict(type=type_, vit=dict(foo_bar=1)) if type_ else dict(vit=dict(foo_bar=1)))
        check_config(cfg)
        check_options(cfg, {'model.backbone.vit.foo_bar': 2})


def test_a_name_is_no_known_key_everywhere():
    with pytest.raises(OptionError, match=r"unknown option 'model\.backbone\.name'"):
        check_options(config(), {'model.backbone.name': 'vit_tiny_patch16_224'})


def test_keys_of_a_models_test_cfg():
    """Those of every task and of every network's reading of panoptic maps."""
    cfg = Config(dict(default_scope='densevit', model=dict(type='densevit.MaskSegmentor', test_cfg=dict(mode='whole'))))
    for name in ('overlap_threshold', 'pixel_threshold', 'top_k', 'encode_masks', 'max_score_bytes'):
        check_options(cfg, {f'model.test_cfg.{name}': 1})
    with pytest.raises(OptionError, match=r"did you mean 'model\.test_cfg\.overlap_threshold'"):
        check_options(cfg, {'model.test_cfg.overlap_treshold': .5})


def test_a_type_of_ours_without_its_prefix():
    said = r"model\.backbone: there is no type 'ViTCoMer': did you mean 'densevit.ViTCoMer'"
    with pytest.raises(OptionError, match=said):
        check_config(around(dict(type='ViTCoMer')))


@pytest.mark.parametrize('key', ['train_cfg.max_iters', 'train_dataloader.batch_size'])
@pytest.mark.parametrize('value', ['abc', 0, 2.5])
def test_lengths_are_whole_numbers(key, value):
    cfg = config()
    cfg.merge_from_dict({key: value})
    with pytest.raises(OptionError, match=f'{key}={value!r}: give a whole number from 1 on'):
        check_config(cfg)

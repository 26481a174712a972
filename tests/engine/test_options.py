"""``--cfg-options`` that nothing takes are refused, with the key that was meant; what cannot be told passes."""
from __future__ import annotations

import pytest
from mmengine.config import Config

from densevit.engine.options import OptionError, check_counts, check_options, explained
from densevit.registry import MODELS

VIT = dict(name='vit_small_patch16_224', drop_path_rate=.1, window_size=7)


def around(backbone, **others):
    return Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder', backbone=backbone), **others))


@pytest.fixture
def config():
    return around(
        dict(type='densevit.SimpleFeaturePyramid', vit=VIT, out_channels=32), crop_size=(64, 64),
        train_dataloader=dict(batch_size=2, dataset=dict(type='ADE20KDataset', size=(64, 64), pipeline=[])),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=9),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1.), paramwise_cfg=dict(bias_decay_mult=0.)),
        custom_hooks=[dict(type='EMAHook', momentum=.1), dict(type='densevit.ProgressHook')])


MEANT = {
    'train_cfg.max_iter': 'train_cfg.max_iters',
    'max_iters': 'train_cfg.max_iters',
    'trian_cfg.max_iters': 'train_cfg',
    'optim_wrapper.optimizer.weight_decy': 'optim_wrapper.optimizer.weight_decay',
    'train_dataloader.batch_sise': 'train_dataloader.batch_size',  # of a dict without a type
    'train_dataloader.dataset.indeces': 'train_dataloader.dataset.indices',  # of a base class
    'crop_size': 'train_dataloader.dataset.size',  # a variable
    'model.backbone.scale_factor': 'model.backbone.scale_factors',
    'model.backbone.vit.window_sise': 'model.backbone.vit.window_size',
    'custom_hooks.0.momentun': 'custom_hooks.0.momentum',  # beside a **kwargs
}


def test_what_was_meant_is_named(config):
    for option, meant in MEANT.items():
        with pytest.raises(OptionError, match=f"unknown option '{option}'.*: did you mean '{meant}'"):
            check_options(config, {option: 1})


def test_what_is_taken_or_cannot_be_told_passes(config):
    """Arguments, keys that builders take out, what mmengine's runner reads from the config, what timm takes."""
    passing = [
        'custom_hooks.1.priority', 'custom_hooks.1.smoothing', 'find_unused_parameters', 'compile', 'sync_bn',
        'auto_scale_lr.enable', 'optim_wrapper.constructor', 'optim_wrapper.paramwise_cfg.flat_decay_mult',
        'train_dataloader.prefetch_factor', 'train_dataloader.dataset.indices', 'model.backbone.vit.pretrained_cfg',
        'model.backbone.vit.cache_dir', 'model.neck.type', 'model.neck.anything', 'model.pretrained']
    check_options(config, dict.fromkeys(passing, 1))
    # A type that is an option itself.
    check_options(config, {'model.backbone.type': 'densevit.ViTCoMer', 'model.backbone.mrfp_ratio': 2})


def test_what_has_no_keys(config):
    with pytest.raises(OptionError, match='custom_hooks is a list of 2; number its entries from 0'):
        check_options(config, {'custom_hooks.7.momentum': 1})
    with pytest.raises(OptionError, match="train_cfg.max_iters is 9 and has no 'value'"):
        check_options(config, {'train_cfg.max_iters.value': 1})


def test_lengths_are_whole_numbers(config):
    for value in ('abc', 0, 2.5):
        config.train_cfg.max_iters = value
        with pytest.raises(OptionError, match=f'max_iters={value!r}: give a whole number from 1 on'):
            check_counts(config)


@pytest.mark.parametrize(('backbone', 'said'), [
    (dict(type='ViTCoMer'), r"model\.backbone: there is no type 'ViTCoMer': did you mean 'densevit\.ViTCoMer'"),
    (dict(type='densevit.ViTCoMr'), r"model\.backbone: there is no type '(densevit\.)?ViTCoMr'"),
    (dict(type='densevit.SimpleFeaturePyramid', vit=VIT, out_chanels=32),
     r"model\.backbone\.out_chanels: densevit\.SimpleFeaturePyramid does not take 'out_chanels'; did you mean "
     "'out_channels'"),
])
def test_a_failing_build_says_the_place_and_the_nearest_name(backbone, said):
    cfg = around(backbone)
    with pytest.raises(OptionError, match=said), explained(cfg):
        MODELS.build(dict(cfg.model.backbone, _scope_='mmseg'))


def test_other_errors_stay_what_they_are(config):
    for error in (KeyError('segments_info'), TypeError("f() got an unexpected keyword argument 'x'"),
                  TypeError("Foo.__init__() got an unexpected keyword argument 'absent'")):
        with pytest.raises(type(error)) as raised, explained(config):
            raise error
        assert raised.value is error

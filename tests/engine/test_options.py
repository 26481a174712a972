"""Misspelt keys of what an adapter builds are found, though its config has no type."""
from __future__ import annotations

import pytest
from mmengine.config import Config

from densevit.engine.options import OptionError, check_config, check_options

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

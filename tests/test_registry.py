"""densevit inside OpenMMLab: found by its prefix, and in nobody's way."""
import importlib.util
import sys
from pathlib import Path

import pytest
from interpreters import OF_RUNS, run_program
from mmengine.config import Config
from mmengine.registry import Registry

import densevit.registry
from densevit.registry import config_file, read_config

ROOT = Path(__file__).parents[1]
REGISTRIES = {name: value for name, value in vars(densevit.registry).items() if isinstance(value, Registry)}
# A stock mmsegmentation config with one line of ours, in a process that has not imported densevit.
STOCK_CONFIG = '''
import sys
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
init_default_scope('mmseg')
cfg = Config(dict(
    model=dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
        backbone=dict(
            type='densevit.PlainViT', embed_dim=32, depth=4, num_heads=2, patch_size=16, img_size=64,
            out_indices=(0, 1, 2, 3)),
        neck=dict(type='Feature2Pyramid', embed_dim=32, rescales=[4, 2, 1, .5], norm_cfg=dict(type='BN')),
        decode_head=dict(
            type='UPerHead', in_channels=[32] * 4, in_index=[0, 1, 2, 3], channels=16, num_classes=3,
            norm_cfg=dict(type='BN')),
        auxiliary_head=dict(type='FCNHead', in_channels=32, in_index=3, channels=16, num_classes=3, num_convs=1),
        test_cfg=dict(mode='whole')),
    optim_wrapper=dict(
        optimizer=dict(type='AdamW', lr=1e-3), constructor='densevit.LayerDecayConstructor',
        paramwise_cfg=dict(layer_decay=.8))))
assert 'densevit' not in sys.modules
model = MODELS.build(cfg.model)
optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
samples = []
for _ in range(2):
    sample = SegDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64)))
    sample.gt_sem_seg = PixelData(data=torch.randint(3, (1, 64, 64)))
    samples.append(sample)
batch = dict(inputs=list(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)), data_samples=samples)
losses = model.train_step(batch, optim_wrapper)
assert {'decode.loss_ce', 'aux.loss_ce'} <= set(losses) and all(torch.isfinite(loss) for loss in losses.values())
predicted = model.val_step(batch)
assert predicted[0].pred_sem_seg.data.shape == (1, 64, 64)
'''


def test_prefix__is_enough_in_a_stock_config(tmp_path):
    done = run_program(STOCK_CONFIG, path=[ROOT, *sys.path], imported=OF_RUNS, cwd=tmp_path)
    assert not done.returncode, done.stdout + done.stderr


def test_registries__are_children_of_the_root_and_put_no_name_into_it():
    for registry in REGISTRIES.values():
        assert registry.scope == 'densevit' and registry.parent.scope == 'mmengine'
        registry.import_from_location()
        assert registry.parent.children['densevit'] is registry
        assert not set(registry.module_dict) & set(registry.parent.module_dict)
        for key in registry.module_dict:
            assert registry.parent.get(f'densevit.{key}') is registry.get(key)


@pytest.mark.parametrize('library', ['mmseg', 'mmdet', 'mmpretrain'])
def test_registry__no_name_is_taken(library):
    """A bare name that two libraries have means the one or the other, as the scope has it, and nobody is told."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f'{library} is not installed')
    utils = importlib.import_module(f'{library}.utils')
    utils.register_all_modules(init_default_scope=False)
    theirs = importlib.import_module(f'{library}.registry')
    for name, registry in REGISTRIES.items():
        registry.import_from_location()
        if not hasattr(theirs, name):
            continue
        taken = set(registry.module_dict) & set(getattr(theirs, name).module_dict)
        assert not taken, f'{library} has {sorted(taken)} in {name}'


@pytest.mark.parametrize(('base', 'kind'), [
    ('mmseg::_base_/models/upernet_r50.py', 'EncoderDecoder'),
    ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'MaskRCNN'),
])
def test_base_of_an_installed_package__is_read(base, kind, tmp_path):
    """By whatever name pip knows the package."""
    (tmp_path / 'config.py').write_text(f"_base_ = '{base}'\n")
    assert Config.fromfile(tmp_path / 'config.py').model.type == kind


@pytest.mark.parametrize('name', ['eomt_vitl_ade20k.py', 'eomt_vitb_ade20k.py'])
def test_base_without_its_folder__is_told_the_folder(name, tmp_path):
    file = tmp_path / 'config.py'
    file.write_text(f"_base_ = 'densevit::{name}'\n")
    with pytest.raises(ValueError, match=f': densevit::eomt/{name}$') as caught:
        read_config(file)
    file.write_text(f"_base_ = '{str(caught.value).rpartition(' ')[2]}'\n")
    assert read_config(file).model.type == 'densevit.MaskSegmentor'


def test_base_that_is_not_there__is_said_by_its_path(tmp_path):
    (tmp_path / 'config.py').write_text("_base_ = 'mmseg::upernet/no_such_config.py'\n")
    with pytest.raises(FileNotFoundError, match='no_such_config'):
        Config.fromfile(tmp_path / 'config.py')


def test_config_file__as_in_base_or_a_path():
    assert config_file('densevit::tiny/eomt_tiny_camvid.py').samefile(ROOT / 'configs' / 'tiny' / 'eomt_tiny_camvid.py')
    assert config_file('densevit::eomt/eomt_vits_ade20k.py').samefile(ROOT / 'configs' / 'eomt' / 'eomt_vits_ade20k.py')
    assert Config.fromfile(config_file('mmseg::_base_/models/upernet_r50.py')).model.type == 'EncoderDecoder'
    assert config_file('densevit::eomt_vitl_ade20k.py').samefile(ROOT / 'configs' / 'eomt_vitl_ade20k.py')
    for path in ('some/where.py', Path('where.py')):
        assert config_file(path) == Path(path)


@pytest.mark.parametrize(('name', 'message'), [
    ('densevit::tiny/eomt_tiny_camvit.py', 'did you mean densevit::tiny/eomt_tiny_camvid.py?'),
    ('densevit::tiny/eomt_tiny_camvid', 'did you mean densevit::tiny/eomt_tiny_camvid.py?'),
    ('densevit::eomt_vitb_ade20k.py', 'did you mean densevit::eomt/eomt_vitb_ade20k.py?'),
    ('mmseg::no/such.py', 'no such config'), ('unheard_of::tiny/a.py', 'check the name'), ('::a.py', 'check the name'),
])
def test_config_file__refused_in_a_line(name, message):
    with pytest.raises(FileNotFoundError, match=message) as caught:
        config_file(name)
    assert str(caught.value).startswith(f'{name}: ') and '\n' not in str(caught.value)

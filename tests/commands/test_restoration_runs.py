"""Training and testing of restoration on folders of one's own, through the commands."""
import re

import numpy as np
import pytest
import torch
from checkout import ROOT
from PIL import Image

from densevit.datasets.restoration.matlab_resize import matlab_resize

CONFIG = """
_base_ = ['{root}/configs/tiny/swinir_tiny_x2.py']
model = dict({kind}head=dict(embed_dim=8, depths=(1, ), num_heads=1))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
param_scheduler = [dict(type='LinearLR', start_factor=.5, by_epoch=False, begin=0, end=3)]
train_cfg = dict(max_iters=3, val_interval=3)
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=1))
custom_hooks = []
"""


def write_images(folder, pairs):
    random = np.random.default_rng(0)
    for index in range(6):
        true = matlab_resize(random.integers(0, 256, (24, 28, 3)).astype(np.uint8), 5)
        for name, image in (('hq', true), *((('lq', matlab_resize(true, .5)), ) if pairs else ())):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f'{index}.png')


@pytest.mark.parametrize(('pairs', 'kind'), [
    (True, ''), (False, ''), (False, "type='densevit.AdversarialRestorer', discriminator=dict(width=4), ")])
def test_folder_is_trained_on_and_tested(tmp_path, tool, capsys, pairs, kind):
    """The two stages; figures of a network that begins as interpolation are those of interpolation, about."""
    write_images(tmp_path / 'mine', pairs)
    (tmp_path / 'small.py').write_text(CONFIG.format(root=ROOT.as_posix(), kind=kind))
    work = tmp_path / 'work'
    assert tool('train', tmp_path / 'small.py', '--data', tmp_path / 'mine', '--work-dir', work) == 0
    out = capsys.readouterr().out
    assert ('pairs of images, 2 times larger' if pairs else 'degraded by the config') in out
    figures = re.findall(r'Y_border2/PSNR: ([\d.]+)', out)
    assert figures and float(figures[-1]) > 20
    assert tool('test', tmp_path / 'small.py', work / 'iter_3.pth', '--data', tmp_path / 'mine', '--work-dir',
                tmp_path / 'test') == 0
    tested = re.findall(r'Y_border2/PSNR: ([\d.]+)', capsys.readouterr().out)
    assert float(tested[-1]) == pytest.approx(float(figures[-1]), abs=.01)


def test_pairs_of_another_scale_are_refused_before_the_run(tmp_path, tool, capsys):
    write_images(tmp_path / 'mine', True)
    text = CONFIG.format(root=ROOT.as_posix(), kind='').replace('dict(embed', 'dict(scale=3, embed')
    (tmp_path / 'small.py').write_text(text)
    assert tool('train', tmp_path / 'small.py', '--data', tmp_path / 'mine', '--work-dir', tmp_path / 'work') == 2
    assert 'set model.head.scale=2' in capsys.readouterr().err


def test_masked_pre_training_and_the_layers_behind_it(tmp_path, tool, capsys):
    """Pre-training, ranking and fine-tuning of the chosen layers, each from what the one before has written."""
    write_images(tmp_path / 'mine', False)
    small = CONFIG.replace('tiny/swinir_tiny_x2', 'ram/swinir_m_ram_{stage}')
    for stage in ('pretrain', 'finetune'):
        text = small.format(root=ROOT.as_posix(), kind='', stage=stage)
        (tmp_path / f'{stage}.py').write_text(text)
    shared = ('--data', tmp_path / 'mine', '--work-dir')
    assert tool('train', tmp_path / 'pretrain.py', *shared, tmp_path / 'first') == 0
    checkpoint, layers = tmp_path / 'first/iter_3.pth', tmp_path / 'layers.py'
    assert tool('rank-layers', tmp_path / 'finetune.py', checkpoint, '--data', tmp_path / 'mine', '--out', layers,
                '--images', 2, '--steps', 2, '--share', .2) == 0
    out = capsys.readouterr().out
    assert re.search(r'trained +\S+', out) and 'layers.0.residual_group.blocks.0.attn.qkv' in out
    assert tool('train', layers, *shared, tmp_path / 'second', '--load-from', checkpoint) == 0
    first, second = (torch.load(tmp_path / name / 'iter_3.pth', weights_only=False)['state_dict']
                     for name in ('first', 'second'))
    chosen = set(re.findall(r"^    '(\S+)',?$", layers.read_text(), re.M))
    moved = {name.removeprefix('network.').rpartition('.')[0] for name in first
             if not torch.equal(first[name], second[name])}
    assert moved and moved <= chosen
    assert tool('rank-layers', tmp_path / 'pretrain.py', checkpoint, '--data', tmp_path / 'mine', '--out', layers) == 2
    assert 'give the config of the fine-tuning' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['', "type='densevit.AdversarialRestorer', discriminator=dict(width=4), "])
def test_filling_holes_in_pictures_of_ones_own(tmp_path, tool, capsys, kind):
    """Both stages, of true images alone; figures of holes are those of interpolation, about, and tests repeat them."""
    write_images(tmp_path / 'mine', False)
    text = CONFIG.replace('swinir_tiny_x2', 'mat_tiny').replace(
        'embed_dim=8, depths=(1, ), num_heads=1', 'dim=8, widths=(4, 4, 4), depths=(1, ) * 5, num_heads=1')
    (tmp_path / 'small.py').write_text(text.format(root=ROOT.as_posix(), kind=kind))
    work = tmp_path / 'work'
    assert tool('train', tmp_path / 'small.py', '--data', tmp_path / 'mine', '--work-dir', work) == 0
    figures = re.findall(r'RGB/hole_PSNR: ([\d.]+)', capsys.readouterr().out)
    assert figures and float(figures[-1]) > 10
    assert tool('test', tmp_path / 'small.py', work / 'iter_3.pth', '--data', tmp_path / 'mine', '--work-dir',
                tmp_path / 'test') == 0
    tested = re.findall(r'RGB/hole_PSNR: ([\d.]+)', capsys.readouterr().out)
    assert float(tested[-1]) == pytest.approx(float(figures[-1]), abs=.01)


def test_commands_about_whole_pictures_refuse_a_network_that_fills_holes(tmp_path, tool, capsys):
    assert tool('benchmark', 'tiles', 'mat_tiny', '--size', '64x64') == 2
    assert 'fills holes' in capsys.readouterr().err
    assert tool('rank-layers', ROOT / 'configs/tiny/mat_tiny.py', 'mat_tiny', '--out', tmp_path / 'layers.py') == 2
    assert 'fills holes' in capsys.readouterr().err and not (tmp_path / 'layers.py').exists()

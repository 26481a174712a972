"""What goes wrong is said in one line with the remedy, and the exit code is 2."""
from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image


@pytest.fixture
def failure(tool, tmp_path, capsys):
    """A function that runs a tool, sees it fail in one line, and gives that line."""
    def run(*arguments: object, name: str = 'train', code: int = 2) -> str:
        capsys.readouterr()
        work_dir = [] if '--work-dir' in arguments else ['--work-dir', tmp_path / 'run']
        first = 1 if name == 'train' else 2  # options may follow with any number of values
        assert tool(name, *arguments[:first], *work_dir, *arguments[first:]) == code
        errors = capsys.readouterr().err
        assert 'Traceback' not in errors
        lines = [line for line in errors.splitlines() if line.startswith(('error:', 'interrupted'))]
        assert len(lines) == 1 and errors.strip().endswith(lines[0])
        return lines[0]
    return run


def test_a_config_that_is_missing_or_broken(failure, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'eomt_vitl_ade20k.py').touch()
    (tmp_path / 'broken.py').write_text('model = dict(\n')
    assert 'does not exist' in failure(tmp_path / 'absent.py')
    assert 'did you mean configs/eomt_vitl_ade20k.py?' in failure('configs/eomt_vit_ade20k.py')
    assert 'broken.py is not a valid config' in failure('broken.py')


def test_unknown_options(failure, tiny_config):
    for option, meant in (('train_cfg.max_iter=20', 'train_cfg.max_iters'), ('max_iters=20', 'train_cfg.max_iters'),
                          ('data_root=/data/ade', 'train_dataloader.dataset.data_root'),
                          ('model.backbone.drop_path_rat=.1', 'model.backbone.drop_path_rate'),
                          ('custom_hooks.1.momentun=.1', 'custom_hooks.1.momentum'),
                          ('train_dataloader.batchsize=4', 'train_dataloader.batch_size')):
        assert f"did you mean '{meant}'?" in failure(tiny_config, '--cfg-options', option)
    assert 'custom_hooks is a list of 2' in failure(tiny_config, '--cfg-options', 'custom_hooks.7.power=1')


def test_option_without_a_value(tool, tiny_config, capsys):
    with pytest.raises(SystemExit) as stop:
        tool('train', tiny_config, '--cfg-options', 'train_cfg.max_iters')
    errors = capsys.readouterr().err
    assert stop.value.code == 2 and errors.count('\n') == 1 and 'key=value' in errors


MISSPELT = [
    ('num_queries', 'num_querys', "model.head.num_querys: densevit.EoMT does not take 'num_querys'; did you mean "
                                  "'num_queries'?"),
    ('dict(num_points', 'dict(mask_wieght', "model.criterion.mask_wieght: MaskClassificationLoss does not take "
                                            "'mask_wieght'; did you mean 'mask_weight'?"),
    ('dict(pipeline=', 'dict(indeces=1, pipeline=', "train_dataloader.dataset.indeces: densevit.CamVidDataset does not "
                                                     "take 'indeces'; did you mean 'indices'?"),
    ('checkpoint=dict(', 'checkpoint=dict(intervall=1, ', "default_hooks.checkpoint.intervall: "
     "densevit.AtomicCheckpointHook does not take 'intervall'; did you mean 'interval'?"),
    ('densevit.EoMT', 'densevit.EOMT', "there is no type 'densevit.EOMT'"),
]


def test_misspelt_names_in_a_config(failure, tiny_config, camvid_like):
    text = tiny_config.read_text()
    for right, wrong, said in MISSPELT:
        tiny_config.write_text(text.replace(right, wrong))
        assert said in failure(tiny_config)


def test_missing_data(failure, tiny_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DENSEVIT_DATA', str(tmp_path / 'nowhere'))
    tiny_config.write_text(tiny_config.read_text() + "\ntrain_dataloader['dataset']['data_root'] = 'data/mine'\n")
    line = failure(tiny_config)
    assert 'put it at data/mine, or set DENSEVIT_DATA' in line and 'data/README.md' in line


def test_missing_image_and_label(failure, tiny_config, camvid_like):
    (camvid_like / 'train' / '002.jpg').unlink()
    (camvid_like / 'trainannot' / '004.png').unlink()
    line = failure(tiny_config)
    assert 'train/002.jpg and 1 more files are missing' in line and 'remove their entries' in line


def test_datasets_without_images(failure, tiny_config, camvid_like):
    for split in ('val', 'train'):
        (camvid_like / f'{split}.txt').write_text('')
        assert f'{split}.txt has no line' in failure(tiny_config)


@pytest.mark.parametrize(('split', 'index'), [('train', 3), ('val', 1)])
def test_one_label_outside_the_classes(failure, tiny_config, camvid_like, split, index):
    path = camvid_like / f'{split}annot' / f'{index:03}.png'
    labels = np.zeros((72, 96), np.uint8)
    labels[-1, -1] = 200
    Image.fromarray(labels).save(path)
    line = failure(tiny_config)
    assert 'holds label 200' in line and path.name in line and 'set num_classes' in line


def test_other_number_of_classes(failure, tiny_config, camvid_like):
    assert 'has 11 classes (sky, ...), but the model has num_classes=7: set model.num_classes=11' in failure(
        tiny_config, '--cfg-options', 'model.num_classes=7')


def test_loss_is_not_finite(failure, tiny_config, camvid_like, tmp_path):
    line = failure(tiny_config, '--cfg-options', 'optim_wrapper.optimizer.lr=1e25', 'optim_wrapper.clip_grad=None')
    assert 'at iteration' in line and '.jpg' in line and 'lower optim_wrapper.optimizer.lr' in line


def test_work_dir_cannot_be_written(failure, tiny_config, camvid_like, tmp_path):
    (tmp_path / 'file').touch()
    assert 'choose another with --work-dir' in failure(tiny_config, '--work-dir', tmp_path / 'file' / 'run')


def test_full_disk_before_training(failure, tiny_config, camvid_like, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(10, 9, 1))
    assert 'free some space or choose another --work-dir' in failure(tiny_config)


def test_full_disk_while_saving(failure, tiny_config, camvid_like, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    line = failure(tiny_config)
    assert 'iter_3.pth was not written' in line and 'ree some space' in line
    assert not list((tmp_path / 'run').glob('*.pth'))


@HOOKS.register_module(force=True)
class InterruptForTestHook(Hook):
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        raise KeyboardInterrupt


def test_interruption_says_how_to_go_on(failure, tiny_config, camvid_like, tmp_path):
    tiny_config.write_text(tiny_config.read_text() + "\ncustom_hooks += [dict(type='InterruptForTestHook')]\n")
    line = failure(tiny_config, code=130)
    assert '--resume' in line and str(tmp_path / 'run') in line


def test_resuming_from_no_checkpoint(failure, tiny_config, camvid_like, tmp_path):
    assert 'does not exist' in failure(tiny_config, '--resume', tmp_path / 'absent.pth')
    torch.save(torch.zeros(100), tmp_path / 'half.pth')
    (tmp_path / 'half.pth').write_bytes((tmp_path / 'half.pth').read_bytes()[:200])
    assert 'half.pth cannot be read' in failure(tiny_config, '--resume', tmp_path / 'half.pth')


def test_half_precision_on_a_cpu(failure, tiny_config, camvid_like):
    if torch.cuda.is_available():
        pytest.skip('for machines without a GPU')
    assert 'use --amp bf16' in failure(tiny_config, '--amp', 'fp16')


def test_launcher_did_not_start_this_process(failure, tiny_config, camvid_like, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    assert 'tools/dist_train.sh' in failure(tiny_config, '--launcher', 'pytorch')


def test_missing_checkpoint_of_a_test(failure, tiny_config, camvid_like, tmp_path):
    assert 'absent.pth does not exist' in failure(tiny_config, tmp_path / 'absent.pth', name='test')

"""tools/test.py on a model that tools/train.py has trained."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image
from torch import nn

from densevit.engine import config_for_test
from densevit.models import SemanticTTA


@pytest.fixture
def checkpoint(camvid_like, tiny_config, tool, tmp_path) -> Path:
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=2') == 0
    return tmp_path / 'run' / 'iter_2.pth'


def test_table_and_label_maps(checkpoint, tiny_config, tool, tmp_path, capsys):
    labels = tmp_path / 'labels'
    arguments = ['test', tiny_config, checkpoint, '--out', labels, '--work-dir', tmp_path / 'test']
    assert tool(*arguments) == 0
    printed = capsys.readouterr().out
    assert 'mIoU' in printed and 'pavement' in printed
    assert sorted(path.name for path in labels.iterdir()) == ['000.png', '001.png']
    written = np.asarray(Image.open(labels / '000.png'))
    assert written.shape == (72, 96) and written.max() < 11
    assert tool(*arguments) == 2  # nothing is overwritten
    assert 'choose another --out' in capsys.readouterr().err


def test_config_of_a_sharded_run(checkpoint, tiny_config, tool, tmp_path, capsys):
    tiny_config.write_text(tiny_config.read_text() + """
runner_type = 'FlexibleRunner'
strategy = dict(type='FSDPStrategy', model_wrapper=dict(type='MMFullyShardedDataParallel', use_orig_params=True))
""")
    assert tool('test', tiny_config, checkpoint, '--work-dir', tmp_path / 'test') == 0
    assert 'mIoU' in capsys.readouterr().out


def test_base_of_a_checkpoint_that_is_complete(checkpoint, tiny_config, tool, tmp_path, capsys):
    assert tool('test', tiny_config, checkpoint, '--base', checkpoint, '--work-dir', tmp_path / 'test') == 2
    assert 'refers to no base weights' in capsys.readouterr().err


def test_augmented(checkpoint, tiny_config, tool, tmp_path, capsys):
    assert tool('test', tiny_config, checkpoint, '--tta', '--work-dir', tmp_path / 'test') == 0
    assert 'mIoU' in capsys.readouterr().out


def test_tta_pipeline_varies_the_resize():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(480, 360), keep_ratio=True),
                dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    cfg = Config(dict(model=dict(type='X'), test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    config_for_test.augment_tests(cfg, (.5, 1.))
    transforms = cfg.test_dataloader.dataset.pipeline[1].transforms
    assert [resize.scale for resize in transforms[0]] == [(240, 180), (480, 360)]
    assert [flip.prob for flip in transforms[1]] == [0., 1.]
    assert cfg.model.type == 'densevit.SemanticTTA' and cfg.model.module.type == 'X'
    with pytest.raises(ValueError, match='give the config a tta_pipeline'):
        config_for_test.augment_tests(Config(dict(model={}, test_dataloader=dict(dataset=dict(pipeline=pipeline[:1])))))


class Stub(nn.Module):
    def test_step(self, data):
        return data


def test_tta_mirrors_scores_back_and_averages():
    scores = torch.rand(3, 4, 5)
    copies = []
    for flip in (False, True):
        sample = BaseDataElement(metainfo=dict(flip=flip, flip_direction='horizontal' if flip else None))
        sample.set_data(dict(seg_logits=PixelData(data=scores.flip(-1) if flip else scores)))
        copies.append(sample)
    merged = SemanticTTA(Stub()).merge_preds([copies])
    assert torch.allclose(merged[0].seg_logits.data, scores)
    assert torch.equal(merged[0].pred_sem_seg.data[0], scores.argmax(0))

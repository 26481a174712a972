"""Training with progressive patches through the tools: a resumed run sees the patches of one that was never stopped."""
import numpy as np
import pytest
import torch
from checkout import ROOT
from PIL import Image
from test_resume import Killed, assert_same, load

from densevit.models.restoration import RestorationPreprocessor

CONFIG = """
_base_ = '{root}/configs/restormer/restormer_derain.py'
model = dict(head=dict(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}', hq='hq', lq=None),
    batch_sampler=dict(stages=[(0, 16, 64), (.25, 24, 40), (.75, 32, 8)]))
param_scheduler = [dict(type='LinearLR', start_factor=.5, by_epoch=False, begin=0, end=3)]
train_cfg = dict(max_iters=8)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
default_hooks = dict(checkpoint=dict(interval=3))
custom_hooks = [dict(type='mmengine.KillForTestHook', iteration=99)]
"""


def test_resumed_run_sees_the_same_patches(tmp_path, tool, monkeypatch):
    """With a worker that reads ahead, too; stopped behind the last checkpoint, in the second stage."""
    (tmp_path / 'hq').mkdir()
    for index in range(5):
        picture = np.random.default_rng(index).integers(0, 256, (40, 48, 3)).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / 'hq' / f'{index}.png')
    config = tmp_path / 'small.py'
    config.write_text(CONFIG.format(root=ROOT.as_posix(), data=tmp_path.as_posix()))
    seen = []
    forward = RestorationPreprocessor.forward

    def watch(self, data, training=False):
        seen.append(torch.stack([*data['inputs'], *(sample.gt_img for sample in data['data_samples'])]))
        return forward(self, data, training)

    monkeypatch.setattr(RestorationPreprocessor, 'forward', watch)
    assert tool('train', config, '--work-dir', tmp_path / 'whole') == 0
    whole = list(seen)
    assert [tuple(batch.shape) for batch in whole] == [(8, 3, 16, 16)] * 2 + [(4, 3, 24, 24)] * 4 + [(2, 3, 32, 32)] * 2
    assert all((batch[:len(batch) // 2] != batch[len(batch) // 2:]).any() for batch in whole)  # it rains
    log = next((tmp_path / 'whole').glob('*/*.log')).read_text()
    assert '16 pixels x 4 from iteration 0; 24 pixels x 2 from iteration 2; 32 pixels x 1 from iteration 6' in log
    with pytest.raises(Killed):
        tool('train', config, '--work-dir', tmp_path / 'killed', '--cfg-options', 'custom_hooks.0.iteration=5')
    seen.clear()
    assert tool('train', config, '--work-dir', tmp_path / 'killed', '--resume', '--cfg-options', 'randomness.seed=8',
                'train_dataloader.num_workers=1') == 0  # the seed of the checkpoint is taken
    assert_same(seen, whole[3:])
    first, second = (load(tmp_path / name / 'iter_8.pth') for name in ('whole', 'killed'))
    assert_same(first['state_dict'], second['state_dict'])

from __future__ import annotations

import errno
import os
import pickle
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from densevit.engine import AtomicCheckpointHook, AtomicLocalBackend, run_config
from densevit.engine.atomic import write_atomic
from densevit.engine.checkpoints import CheckpointError, check_resumable, latest_checkpoint
from densevit.engine.work_dir import set_aside
from densevit.weights import WeightsError, read_state_dict
from densevit.weights.finite import non_finite


def test_write_atomic_replaces_the_whole_file(tmp_path):
    write_atomic(b'old', tmp_path / 'deep' / 'file')
    write_atomic(b'new', tmp_path / 'deep' / 'file')
    assert (tmp_path / 'deep' / 'file').read_bytes() == b'new'
    assert os.listdir(tmp_path / 'deep') == ['file']


def test_failed_write_leaves_the_old_file_and_says_what_to_do(tmp_path, monkeypatch):
    AtomicLocalBackend().put(b'old', tmp_path / 'file')

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='was not written: free some space'):
        AtomicLocalBackend().put(b'new', tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file']


def test_kill_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomic(b'old', tmp_path / 'iter_1.pth')

    class Killed(BaseException):
        pass

    def kill(descriptor):
        raise Killed

    monkeypatch.setattr(os, 'fsync', kill)
    with pytest.raises(Killed):
        write_atomic(b'new', tmp_path / 'iter_1.pth')
    assert (tmp_path / 'iter_1.pth').read_bytes() == b'old'
    assert [path.name for path in tmp_path.glob('*.pth') if path.name[0] != '.'] == ['iter_1.pth']


def test_only_checkpoint_stays_until_the_next_is_written(tmp_path):
    hook = AtomicCheckpointHook(by_epoch=False, interval=1, max_keep_ckpts=1)
    whole = dict(state_dict={}, optimizer={}, meta={}, message_hub={})
    present = []

    def save(out_dir, name, *args, backend_args, **kwargs):
        assert backend_args == dict(backend='densevit_atomic')
        present.append(sorted(path.name for path in tmp_path.glob('*.pth')))
        torch.save(whole, tmp_path / name)

    info = {}
    hub = SimpleNamespace(runtime_info=info, update_info=info.__setitem__, get_info=info.get)
    runner = SimpleNamespace(work_dir=str(tmp_path), message_hub=hub, save_checkpoint=save, model=torch.nn.Linear(1, 1),
                             hooks=[], logger=SimpleNamespace(info=lambda text: None))
    hook.before_train(runner)
    for step in (1, 2, 3):
        hook._save_checkpoint_with_step(runner, step, {})
    assert present == [[], ['iter_1.pth'], ['iter_2.pth']]
    assert latest_checkpoint(tmp_path).name == 'iter_3.pth'
    assert info['keep_ckpt_ids'] == [3]


def save_resumable(path, **content):
    parts = dict(state_dict={'weight': torch.ones(64)}, optimizer={}, meta={}, message_hub={})
    torch.save(dict(parts, **content), path)


def flip_a_bit(path):
    """In the last of the weights, where nothing but the checksum tells."""
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(64).numpy().tobytes()) + 254] ^= 1
    path.write_bytes(content)


def test_latest_checkpoint_skips_broken_files(tmp_path, capsys):
    assert latest_checkpoint(tmp_path) is None
    for step in (8, 9, 10, 11, 12, 13):
        save_resumable(tmp_path / f'iter_{step}.pth')
    save_resumable(tmp_path / 'best_mIoU_iter_14.pth')
    content = (tmp_path / 'iter_11.pth').read_bytes()
    (tmp_path / 'iter_11.pth').write_bytes(content[:len(content) // 2])
    flip_a_bit(tmp_path / 'iter_12.pth')
    save_resumable(tmp_path / 'iter_13.pth', ema_state_dict={'weight': torch.tensor([1., torch.nan])})
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_11.pth'))
    assert latest_checkpoint(tmp_path).name == 'iter_10.pth'
    told = capsys.readouterr().err
    assert all(f'iter_{step}.pth' in told for step in (11, 12, 13))
    (tmp_path / 'last_checkpoint').write_text('/moved/from/iter_9.pth')
    assert latest_checkpoint(tmp_path).name == 'iter_9.pth'


def test_a_damaged_note_falls_back_to_the_newest_checkpoint(tmp_path):
    for name in ('iter_9.pth', 'iter_10.pth', 'best_mIoU_iter_9.pth'):
        save_resumable(tmp_path / name)
    for note in (b'', b'\xff\xfe\x00', b'a\x00b', b'x' * 5000, b'..', b'best_mIoU_iter_9.pth'):
        (tmp_path / 'last_checkpoint').write_bytes(note)
        assert latest_checkpoint(tmp_path).name == 'iter_10.pth', note


def test_nothing_but_damaged_checkpoints_is_no_new_beginning(tmp_path):
    for step in (9, 10):
        save_resumable(tmp_path / f'iter_{step}.pth')
        flip_a_bit(tmp_path / f'iter_{step}.pth')
    with pytest.raises(CheckpointError, match='none of the 2 .* without --resume.*iter_10.pth'):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_that_was_written_without_checksums_is_whole(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        save_resumable(tmp_path / 'iter_1.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert latest_checkpoint(tmp_path).name == 'iter_1.pth'


def test_weights_with_a_flipped_bit_are_not_read(tmp_path):
    save_resumable(tmp_path / 'weights.pth')
    assert read_state_dict(tmp_path / 'weights.pth')['weight'].sum() == 64
    flip_a_bit(tmp_path / 'weights.pth')
    with pytest.raises(WeightsError, match='weights.pth: the file is damaged .*download or copy it again'):
        read_state_dict(tmp_path / 'weights.pth')


def test_masks_of_attention_are_finite_and_broken_weights_are_not():
    state = dict(
        mask=torch.tensor([0., -torch.inf]), large=torch.full((4,), 3e38), half=torch.full((4,), 6e4).half(),
        byte=torch.ones(2).to(torch.float8_e4m3fn), steps=torch.ones(2, dtype=torch.int64), empty=torch.zeros(0),
        nan=torch.tensor([0., torch.nan]), infinite=torch.tensor([1., torch.inf]), minus=torch.tensor([1., -torch.inf]))
    assert non_finite(state) == ['nan', 'infinite', 'minus']


class Trap:
    def __reduce__(self):
        return os.mkdir, ('trapped', )


def test_check_resumable_refuses_without_running_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match='does not exist'):
        check_resumable(tmp_path / 'absent.pth')
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')
    with pytest.raises(CheckpointError, match="has no 'optimizer'.*--load-from"):
        check_resumable(tmp_path / 'weights.pth')
    torch.save(dict(state_dict=Trap()), tmp_path / 'trap.pth')
    (tmp_path / 'bare.pth').write_bytes(pickle.dumps(Trap()))
    for name in ('trap.pth', 'bare.pth'):
        with pytest.raises(CheckpointError, match='damaged or unsafe'):
            check_resumable(tmp_path / name)
    assert not (tmp_path / 'trapped').exists()


def test_set_aside_keeps_every_run(tmp_path):
    assert set_aside(tmp_path) is None
    for run in (1, 2):
        torch.save(run, tmp_path / 'iter_1.pth')
        (tmp_path / 'last_checkpoint').write_text('iter_1.pth')
        assert set_aside(tmp_path) == tmp_path / f'earlier_{run}'
    assert torch.load(tmp_path / 'earlier_1' / 'iter_1.pth', weights_only=True) == 1


def test_checkpoints_of_a_run_are_atomic_and_at_least_ten():
    for checkpoint, interval in (
        (dict(type='CheckpointHook', by_epoch=False, interval=2000), 10),
        (dict(type='mmengine.CheckpointHook', by_epoch=False, interval=4), 4),
        (dict(type='densevit.AtomicCheckpointHook', by_epoch=False, interval=2000), 10),
        (dict(type='CheckpointHook', by_epoch=True, interval=2000), 2000),
        (dict(by_epoch=False), None),
    ):
        cfg = Config(dict(default_hooks=dict(checkpoint=checkpoint), train_cfg=dict(max_iters=100)))
        run_config.add_hooks(cfg)
        assert cfg.default_hooks.checkpoint.type == 'densevit.AtomicCheckpointHook'
        assert cfg.default_hooks.checkpoint.get('interval') == interval


def test_configs_without_a_checkpoint_hook():
    cfg = Config(dict(train_cfg=dict(max_iters=5)))
    run_config.add_hooks(cfg)
    assert cfg.default_hooks.checkpoint == dict(type='densevit.AtomicCheckpointHook', interval=1)  # mmengine's interval
    cfg = Config(dict(default_hooks=dict(checkpoint=None)))
    run_config.add_hooks(cfg)
    assert cfg.default_hooks.checkpoint is None

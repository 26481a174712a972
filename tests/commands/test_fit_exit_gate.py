"""tools/fit_exit_gate.py on a small network: exits are compared image by image, and the gate alone changes."""
import pytest
import torch

CONFIG = """
model = dict(
    type='densevit.MaskSegmentor', num_classes=11,
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.] * 3, std=[60.] * 3, size=(64, 64)),
    backbone=dict(
        type='densevit.TimmPyramid', name='resnet10t', channels=(8, 8, 16, 16), pretrained=False,
        out_indices=(1, 2, 3, 4)),
    head=dict(
        type='densevit.ECOMask2FormerNet', num_queries=6, embed_dim=32, mask_dim=32, encoder_layers=3, first_exit=1,
        encoder_ffn_dim=32, decoder_layers=1, decoder_ffn_dim=32, num_heads=2, exit=3),
    criterion=dict(num_points=64))
custom_hooks = []
"""


@pytest.fixture
def trained(camvid_like, tiny_config, tool, tmp_path):
    tiny_config.write_text(tiny_config.read_text() + CONFIG)
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=2') == 0
    return tmp_path / 'run' / 'iter_2.pth'


def fit(tool, tiny_config, trained, out, *more):
    return tool('fit-exit-gate', tiny_config, trained, '--beta', .001, '--out', out, '--work-dir', out.parent / 'gate',
                *more)


def test_the_gate_alone_changes_and_nothing_is_overwritten(trained, tiny_config, tool, tmp_path, capsys):
    out = tmp_path / 'gate.pth'
    assert fit(tool, tiny_config, trained, out, '--quality', 'mIoU') == 0
    printed = capsys.readouterr().out
    assert 'the last exit' in printed and '3.00 layers' in printed and 'mIoU' in printed
    before, after = (torch.load(path, weights_only=False)['state_dict'] for path in (trained, out))
    assert {name for name in after if not torch.equal(before[name], after[name])} == {
        'network.exit_gate.weight', 'network.exit_gate.bias'}
    assert fit(tool, tiny_config, trained, out, '--quality', 'mIoU') == 2
    assert 'choose another --out' in capsys.readouterr().err
    assert tool('test', tiny_config, out, '--work-dir', tmp_path / 'test', '--cfg-options', 'model.head.exit=None') == 0


def test_a_measure_that_there_is_not(trained, tiny_config, tool, tmp_path, capsys):
    assert fit(tool, tiny_config, trained, tmp_path / 'gate.pth') == 2
    assert "val_evaluator has no 'PQ': choose of aAcc, mIoU, mAcc" in capsys.readouterr().err
    assert not (tmp_path / 'gate.pth').exists()


def test_another_model(camvid_like, tiny_config, tool, tmp_path, capsys):
    (tmp_path / 'x.pth').touch()
    assert fit(tool, tiny_config, tmp_path / 'x.pth', tmp_path / 'gate.pth') == 2
    assert 'no early exits' in capsys.readouterr().err

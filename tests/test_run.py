"""Stock tools of mmsegmentation and mmdetection through ``python -m densevit.run``."""
from __future__ import annotations

import sys
from pathlib import Path

from checkout import ROOT
from interpreters import OF_RUNS, run_program
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from densevit.run import main, tool_file

# Everything but the backbone and the data is mmsegmentation's.
STOCK_CONFIG = """
_base_ = ['mmseg::_base_/models/upernet_r50.py', 'mmseg::_base_/default_runtime.py']
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type='densevit.SimpleFeaturePyramid', out_channels=8,
                  vit=dict(embed_dim=32, depth=1, num_heads=2, img_size=64)),
    decode_head=dict(in_channels=[8] * 4, channels=8, num_classes=11, norm_cfg=dict(type='BN')),
    auxiliary_head=None)
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='Resize', scale=(64, 64)),
            dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler'),
    dataset=dict(type='densevit.CamVidDataset', data_root='data/camvid', ann_file='train.txt', pipeline=pipeline,
                 data_prefix=dict(img_path='train', seg_map_path='trainannot')))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1))
"""


def test_stock_training_of_a_stock_config_with_our_backbone(camvid_like):
    folder = Path.cwd()
    (folder / 'data').symlink_to(camvid_like.parent)
    (folder / 'stock.py').write_text(STOCK_CONFIG)
    result = run_program(
        "import runpy; runpy.run_module('densevit.run', run_name='__main__', alter_sys=True)", 'mmseg::train',
        'stock.py', '--work-dir', 'runs', path=[ROOT, *sys.path], imported=OF_RUNS, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert (folder / 'runs' / 'iter_1.pth').is_file()


def test_stock_browsing_of_our_config(camvid_like, monkeypatch):
    (Path.cwd() / 'data').symlink_to(camvid_like.parent)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    monkeypatch.setattr(sys, 'argv', [])
    for manager in (DefaultScope, Visualizer):
        monkeypatch.setattr(manager, '_instance_dict', type(manager._instance_dict)())
    config = str(ROOT / 'configs' / 'tiny' / 'eomt_tiny_camvid.py')
    assert main(['mmseg::analysis_tools/browse_dataset', config, '--output-dir', 'seen', '--not-show']) == 0
    assert sorted(path.name for path in Path('seen').iterdir()) == [f'{index:03}.jpg' for index in range(6)]


def test_tools_are_found_by_their_names(capsys):
    for name in ('mmseg::test', 'mmseg::tools/test.py', 'mmdet::analysis_tools/browse_dataset', 'densevit::train'):
        package, _, tool = name.partition('::')
        path = tool_file(name)
        assert path.is_file() and package in path.parts and path.stem == Path(tool).stem
    for name, remedy in (
            ('mmseg::analysis_tool/browse_dataset', 'did you mean mmseg::analysis_tools/browse_dataset?'),
            ('mmseq::train', 'mmseq is not installed'), ('no_script.py', 'no_script.py: no such file')):
        assert main([name]) == 2
        assert remedy in capsys.readouterr().err


def test_a_script_runs_as_python_runs_it(tmp_path, monkeypatch, capsys):
    (tmp_path / 'beside.py').write_text('name = "beside"')
    script = tmp_path / 'script.py'
    script.write_text('import sys, beside\nif __name__ == "__main__": print(beside.name, sys.argv[1:])')
    monkeypatch.setattr(sys, 'path', sys.path[:])
    monkeypatch.setattr(sys, 'argv', [])
    assert main([str(script), '--help', 'a']) == 0
    assert capsys.readouterr().out == "beside ['--help', 'a']\n"

"""docs/extending.md: its package, configs and commands as they stand there, in a folder of their own."""
from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT, forget_runs

from densevit import commands, load
from densevit.registry import MODELS

# As long as it has to be.
PAGE = (ROOT / 'docs/extending.md').read_text().replace('max_iters=500', 'max_iters=2').replace('iter_500', 'iter_2')
COMMANDS = re.findall(r'^densevit (.+)', PAGE, re.MULTILINE)
SMALL = ['--cfg-options', 'model.backbone.pretrained=False', 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False', 'train_dataloader.batch_size=2', 'test_dataloader.num_workers=0',
         'test_dataloader.persistent_workers=False']


@pytest.fixture
def project(camvid_like, quick_runs, tmp_path, monkeypatch) -> Path:
    """A folder with the files of the page, and with a picture."""
    folder = tmp_path / 'project'
    folder.mkdir()
    for name, text in re.findall(r'```python\n# (\w+\.py).*?\n(.*?)```', PAGE, re.DOTALL):
        with (folder / name).open('a') as file:
            file.write(text)
    shutil.copy(camvid_like / 'test' / '000.jpg', folder / 'street.jpg')
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    yield folder
    for name in ('two_maps', 'two_convs'):
        sys.modules.pop(name, None)
    for name in ('TwoMaps', 'TwoConvs'):
        MODELS.module_dict.pop(name, None)


def test_commands(project, capsys):
    assert [command.split()[0] for command in COMMANDS] == ['train', 'test', 'predict', 'train']
    said = {}
    for command in COMMANDS:
        forget_runs()
        arguments = shlex.split(command)
        small = SMALL if arguments[0] != 'predict' else []
        assert commands.main([*arguments, *small]) == 0, capsys.readouterr()
        said[command] = capsys.readouterr().out
    assert 'mIoU' in said[COMMANDS[1]]
    assert 'kept as initialised: classifier.weight, classifier.bias' in said[COMMANDS[3]]
    checkpoint = re.search(r"densevit\.load\('(.+?)', '(.+?)'\)", PAGE).groups()
    result = load(*checkpoint).predict('street.jpg')
    assert result.semantic.shape == (72, 96) and (project / 'outputs' / 'street.jpg').is_file()


def test_names_of_authors(project, capsys):
    """And a checkpoint of theirs without a tensor is refused."""
    from mmengine.registry import init_default_scope

    from densevit.registry import read_config
    from densevit.weights import load_weights

    cfg = read_config('two_maps_camvid.py')
    cfg.model.backbone.pretrained = False
    init_default_scope('mmseg')
    network = MODELS.build(cfg.model).network
    names = (('backbone.trunk.', 'encoder.'), ('fine.', 'lateral.'), ('coarse.', 'top.'), ('classifier.', 'out.'))
    theirs = {}
    for name, tensor in network.state_dict().items():
        ours, other = next(pair for pair in names if name.startswith(pair[0]))
        theirs[other + name.removeprefix(ours)] = torch.randn(tensor.shape).to(tensor.dtype)
    torch.save(theirs, 'authors.pth')
    report = load_weights(network, 'authors.pth')
    assert "the authors' TwoMaps" in str(report) and torch.equal(network.coarse.weight, theirs['top.weight'])
    del theirs['top.bias']
    torch.save(theirs, 'part.pth')
    with pytest.raises(ValueError, match='coarse.bias'):
        load_weights(network, 'part.pth')


def test_backbone(project):
    from mmengine.registry import DefaultScope

    from densevit.registry import read_config

    config = project / 'two_convs_camvid.py'
    config.write_text("_base_ = './two_maps_camvid.py'\ncustom_imports = dict(imports=['two_maps', 'two_convs'])\n"
                      "model = dict(backbone=dict(_delete_=True, type='densevit.TwoConvs', width=8))\n")
    model = read_config(config).model
    with DefaultScope.overwrite_default_scope('mmseg'):
        network = MODELS.build(model).network
    images = torch.randn(2, 3, 50, 70)
    maps = network.backbone(images)
    assert [tuple(each.shape) for each in maps] == [(2, 8, 13, 18), (2, 32, 4, 5)]
    assert network(images)[-1].shape == (2, 11, 13, 18)
    network.backbone.frozen_stages = 0
    network.train()
    assert not network.backbone.first.weight.requires_grad and network.backbone.second.weight.requires_grad

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from densevit.datasets.common.locate import (
    MissingDataError,
    check_data_roots,
    data_folders,
    datasets_of,
    resolve_data_roots,
)


def config(root='data/set'):
    dataset = dict(type='X', data_root=root, ann_file='list.txt', data_prefix=dict(img_path='images'))
    wrapped = dict(type='ConcatDataset', datasets=[dataset, dict(type='RepeatDataset', dataset=dict(dataset))])
    return Config(dict(
        train_dataloader=dict(dataset=wrapped), val_dataloader=dict(dataset=dict(dataset)),
        val_evaluator=dict(type='CocoMetric', ann_file=f'{root}/list.txt')))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv('DENSEVIT_DATA', raising=False)
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    return tmp_path


def write(folder: Path) -> None:
    (folder / 'set' / 'images').mkdir(parents=True)
    (folder / 'set' / 'list.txt').touch()


def test_order_of_the_folders(place, monkeypatch):
    monkeypatch.setenv('DENSEVIT_DATA', '/a')
    assert data_folders() == data_folders(place / 'here') == [Path('/a'), Path('data')]
    assert data_folders(place / 'elsewhere') == [Path('/a'), Path('data'), place / 'elsewhere' / 'data']


def test_data_is_found(place):
    write(Path('data'))
    cfg = config()
    resolve_data_roots(cfg, data_folders())
    assert [dataset.data_root for _, dataset in datasets_of(cfg)] == ['data/set'] * 3
    assert cfg.val_evaluator.ann_file == 'data/set/list.txt'
    check_data_roots(cfg, data_folders())


def test_named_folder_comes_first(place, monkeypatch):
    write(Path('data'))
    write(place / 'named')
    monkeypatch.setenv('DENSEVIT_DATA', str(place / 'named'))
    cfg = config()
    resolve_data_roots(cfg, data_folders())
    assert cfg.val_dataloader.dataset.data_root == f'{place}/named/set'


def test_absent_data_root(place):
    with pytest.raises(MissingDataError, match='put it at data/set, or set DENSEVIT_DATA to a folder that contains'):
        check_data_roots(config(), data_folders())
    with pytest.raises(MissingDataError, match=r'put it at /mine/set, or set val_dataloader\.dataset\.data_root'):
        check_data_roots(config('/mine/set'), data_folders(), ('val', ))


def test_absent_annotation_file(place):
    write(Path('data'))
    Path('data/set/list.txt').unlink()
    with pytest.raises(MissingDataError, match=r'data/set/list\.txt is missing, which train_dataloader\.dataset'):
        check_data_roots(config(), data_folders())

"""Folders of one's own for restoration, and what is looked at before a run."""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from densevit.datasets import RestorationDataset, RestorationFolderDataset
from densevit.datasets.common.file_facts import FactsMemory
from densevit.datasets.common.folders import FolderError
from densevit.datasets.common.locate import MissingDataError
from densevit.datasets.common.survey import survey
from densevit.datasets.common.task_checks import DataError
from densevit.datasets.restoration.checks import RestorationChecks
from densevit.datasets.restoration.folder import RestorationFolder


def write(path, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size[::-1], 3), np.uint8)).save(path)


def read(folder, tmp_path):
    return RestorationFolder().read(folder, {}, tmp_path / 'work' / 'data')


def test_pairs_by_name_whatever_the_ends(tmp_path):
    for index in range(30):
        write(tmp_path / 'f' / 'hq' / f'{index:04}.png')
        write(tmp_path / 'f' / 'lq' / f'{index:04}x2.png', (12, 8))
    facts = read(tmp_path / 'f', tmp_path)
    assert 'pairs' in facts.layout and '2 times' in facts.layout
    assert facts.counts['train'] + facts.counts['val'] == 30 and facts.counts['val']
    options = {key: value for key, value in facts.datasets['val'].items() if key != 'type'}
    dataset = RestorationFolderDataset(**options)
    assert len(dataset) == facts.counts['val']
    info = dataset.get_data_info(0)
    assert info['gt_path'].replace('hq', 'lq').replace('.png', 'x2.png') == info['img_path']


@pytest.mark.parametrize('layout', ['train/hq', 'hq/train'])
def test_splits_in_folders_of_their_own(tmp_path, layout):
    for split, count in (('train', 3), ('val', 2)):
        for index in range(count):
            for kind in ('hq', 'lq'):
                write(tmp_path / 'f' / layout.replace('train', split).replace('hq', kind) / f'{index}.png')
    facts = read(tmp_path / 'f', tmp_path)
    assert facts.counts == dict(train=3, val=2) and 'pairs' in facts.layout


def test_true_images_alone(tmp_path):
    for index in range(4):
        write(tmp_path / 'f' / f'{index}.jpg')
    facts = read(tmp_path / 'f', tmp_path)
    assert 'degraded by the config' in facts.layout and sum(facts.counts.values()) == 4


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FolderError, match='no pictures'):
        read(tmp_path / 'empty', tmp_path)
    write(tmp_path / 'low' / 'lq' / '0.png')
    with pytest.raises(FolderError, match='no true images'):
        read(tmp_path / 'low', tmp_path)
    write(tmp_path / 'odd' / 'lq' / '0.png')
    write(tmp_path / 'odd' / 'hq' / '1.png')
    with pytest.raises(FolderError, match=r'hq/1\.png has no image of that name'):
        read(tmp_path / 'odd', tmp_path)
    with pytest.raises(MissingDataError, match='is missing'):
        RestorationDataset(hq='nowhere', data_root=str(tmp_path))


def test_sizes_of_pairs_before_a_run(tmp_path):
    model = SimpleNamespace(task='restoration', scale=2)
    for name, small in (('a', (12, 8)), ('b', (12, 8))):
        write(tmp_path / 'hq' / f'{name}.png')
        write(tmp_path / 'lq' / f'{name}.png', small)
    dataset = RestorationDataset(hq='hq', lq='lq', data_root=str(tmp_path))
    found = survey(dataset, 'train', [RestorationChecks.of(model, dataset, ())], FactsMemory(tmp_path / 'facts.json'))
    assert found.looked_at == 2 and not found.unlabelled
    with pytest.raises(DataError, match='set model.head.scale=2'):
        survey(dataset, 'train', [RestorationChecks(4)], FactsMemory(tmp_path / 'other.json'))
    write(tmp_path / 'lq' / 'b.png', (11, 8))
    dataset = RestorationDataset(hq='hq', lq='lq', data_root=str(tmp_path))
    with pytest.raises(DataError, match=r'hq/b\.png .* crop the true image'):
        survey(dataset, 'train', [RestorationChecks(2)], FactsMemory(tmp_path / 'third.json'))

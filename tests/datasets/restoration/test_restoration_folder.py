"""Folders of one's own for restoration, and what is looked at before a run."""
import os
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
from densevit.datasets.restoration.dataset import find_pairs
from densevit.datasets.restoration.folder import RestorationFolder
from densevit.evaluation import RestorationMetric


def write(path, size=(24, 16), orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((*size[::-1], 3), np.uint8)).save(path, exif=exif)


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


@pytest.mark.parametrize('degraded', ['{}', '{}x4', '{}x4m', '{}_LR'])
@pytest.mark.parametrize('true', ['box{}', '{}', 'box{}_HR'])
def test_names_with_what_looks_like_an_end(tmp_path, true, degraded):
    """Names come first as they are: box1 and box2 are not one picture at two scales."""
    for index in (1, 2):
        write(tmp_path / 'hq' / f'{true.format(index)}.png')
        stem = true.format(index).removesuffix('_HR') if degraded.endswith('_LR') else true.format(index)
        write(tmp_path / 'lq' / f'{degraded.format(stem)}.png', (12, 8))
    pairs = find_pairs(tmp_path / 'hq', tmp_path / 'lq')
    assert len(pairs) == 2
    for index, pair in enumerate(pairs, 1):
        assert str(index) in pair.hq.stem and str(index) in pair.lq.stem


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
    swapped = RestorationDataset(hq='lq', lq='hq', data_root=str(tmp_path))
    with pytest.raises(DataError, match='hq and lq may be swapped'):
        survey(swapped, 'train', [RestorationChecks(2)], FactsMemory(tmp_path / 'fourth.json'))


def test_pictures_that_are_too_small_to_compare(tmp_path):
    """Before the run, and not at its first validation; those to learn from may be of any size."""
    model, metric = SimpleNamespace(task='restoration', scale=2), RestorationMetric(crop_border=2, y_channel=True)
    for size in ((30, 31), (15, 16)):
        write(tmp_path / 'hq' / f'{size[0]}.png', size)
    dataset = RestorationDataset(hq='hq', data_root=str(tmp_path))
    survey(dataset, 'train', [RestorationChecks.of(model, dataset, ())], FactsMemory(tmp_path / 'facts.json'))
    with pytest.raises(DataError, match=r'hq/15\.png has 15x16 pixels'):
        survey(dataset, 'val', [RestorationChecks.of(model, dataset, [metric])], FactsMemory(tmp_path / 'facts.json'))
    (tmp_path / 'hq/15.png').unlink()  # the remedy
    dataset = RestorationDataset(hq='hq', data_root=str(tmp_path))
    survey(dataset, 'val', [RestorationChecks.of(model, dataset, [metric])], FactsMemory(tmp_path / 'facts.json'))


@pytest.mark.parametrize(('true', 'degraded'), [('clean', 'noisy'), ('HR', 'LR_bicubic/X2')])
def test_folders_of_other_names_are_not_mixed(tmp_path, true, degraded):
    """Noisy pictures were taken for true ones, and DIV2K's small ones were overlooked."""
    for name in ('a', 'b'):
        write(tmp_path / true / f'{name}.png')
        write(tmp_path / degraded / f'{name}x2.png', (12, 8))
    with pytest.raises(FolderError, match='may be pairs'):
        read(tmp_path, tmp_path)
    (tmp_path / true).rename(tmp_path / 'hq')  # the remedy
    (tmp_path / degraded).rename(tmp_path / 'lq')
    assert '2 times larger' in read(tmp_path, tmp_path).layout


def test_folders_of_other_pictures_are_read_together(tmp_path):
    for name in ('cats/a', 'dogs/b'):
        write(tmp_path / 'named' / f'{name}.png')
    assert sum(read(tmp_path / 'named', tmp_path).counts.values()) == 2
    for clip in '123':
        write(tmp_path / f'clips/{clip}/0000.png')
    assert sum(read(tmp_path / 'clips', tmp_path).counts.values()) == 3
    for clip in '12':
        write(tmp_path / f'two/{clip}/0000.png')
    with pytest.raises(FolderError, match='put both folders into'):
        read(tmp_path / 'two', tmp_path)
    (tmp_path / 'two').rename(tmp_path / 'hq')  # the remedy
    (tmp_path / 'two').mkdir()
    (tmp_path / 'hq').rename(tmp_path / 'two/hq')
    assert sum(read(tmp_path / 'two', tmp_path).counts.values()) == 2


LOADING = [dict(type='densevit.LoadPair'), dict(type='densevit.Degrade', steps=[], seed=0),
           dict(type='densevit.PackPair')]


@pytest.mark.parametrize(('true', 'degraded', 'size', 'said'), [
    (6, 6, (24, 16), None), (6, 1, (24, 16), 'error'), (1, 8, (24, 16), 'error'), (3, 1, (24, 16), 'note'),
    (1, 3, (24, 16), 'note'), (6, 1, (24, 24), 'note')])
def test_pairs_of_which_one_is_turned_by_exif(tmp_path, true, degraded, size, said):
    write(tmp_path / 'hq' / 'a.jpg', size, true)
    write(tmp_path / 'lq' / 'a.jpg', [side // 2 for side in size], degraded)
    dataset = RestorationDataset(hq='hq', lq='lq', data_root=str(tmp_path), pipeline=LOADING)
    checks = RestorationChecks(2)
    if said == 'error':
        with pytest.raises(DataError, match=r'a\.jpg is read with .* EXIF .*exiftool -Orientation=') as error:
            survey(dataset, 'train', [checks], FactsMemory(tmp_path / 'facts.json'))
        assert 'crop' not in str(error.value) and 'write it anew' not in str(error.value)
        for path in (tmp_path / 'hq/a.jpg', tmp_path / 'lq/a.jpg'):  # the remedy
            write(path, Image.open(path).size)
    survey(dataset, 'train', [checks], FactsMemory(tmp_path / 'facts.json'))
    assert any('EXIF' in note and 'hq/a.jpg' in note for note in checks.notes(dataset)) is (said == 'note')


@pytest.mark.parametrize(('name', 'said'), [
    ('hq/a_HR.png', 'a.png and .*a_HR.png have one name'), ('lq/b.png', 'lq/b.png has no image of that name in .*hq')])
def test_no_picture_is_dropped_or_used_twice(tmp_path, name, said):
    """Of two true images with one degraded one both were taught."""
    write(tmp_path / 'hq' / 'a.png')
    write(tmp_path / 'lq' / 'a.png', (12, 8))
    write(tmp_path / name)
    with pytest.raises(MissingDataError, match=said.replace('a.png and .*a_HR.png', r'a\S*.png and \S*a\S*.png')):
        RestorationDataset(hq='hq', lq='lq', data_root=str(tmp_path))


def test_names_that_are_not_utf8_are_read(tmp_path):
    write(tmp_path / 'hq' / 'a.png')
    os.rename(tmp_path / 'hq' / 'a.png', os.path.join(os.fsencode(tmp_path / 'hq'), b'\xff\xfe.png'))
    sample = RestorationDataset(hq='hq', data_root=str(tmp_path), pipeline=LOADING)[0]
    assert sample['inputs'].shape == (3, 16, 24)


def test_pictures_of_other_formats_are_said(tmp_path):
    for index in range(4):
        write(tmp_path / 'f' / f'{index}.jpg')
    (tmp_path / 'f' / 'a.heic').write_bytes(b'1')
    assert '1 .heic' in read(tmp_path / 'f', tmp_path).notes[0]

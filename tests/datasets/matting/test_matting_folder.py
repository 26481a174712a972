"""Folders of one's own for matting, and what is looked at before a run."""
from types import SimpleNamespace

import numpy as np
import pytest
from mattes import SIZE, band, disc, save, write_foregrounds, write_images
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from PIL import Image

from densevit.datasets.common.coco_json import EmptyDatasetError
from densevit.datasets.common.file_facts import FactsMemory
from densevit.datasets.common.folders import FolderError
from densevit.datasets.common.locate import MissingDataError
from densevit.datasets.common.survey import survey
from densevit.datasets.common.task_checks import DataError
from densevit.datasets.matting.checks import MattingChecks
from densevit.datasets.matting.folder import MattingFolder, divided_parts

TRAIN = [dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'), dict(type='densevit.LoadAlpha'),
         dict(type='densevit.MattingCrop', size=32), dict(type='densevit.ComposeForeground', backgrounds='nowhere'),
         dict(type='densevit.RandomTrimap', width=(1, 5)), dict(type='densevit.PackMatting')]
TEST = [dict(type='densevit.LoadImage'), dict(type='densevit.LoadAlpha'), dict(type='densevit.PackMatting')]


def read(folder, tmp_path, train=TRAIN, test=TEST):
    """What the folder holds, and its datasets as a run builds them."""
    reader = MattingFolder()
    facts = reader.read(folder, dict(pipeline=train), tmp_path / 'work' / 'data')
    old = dict(train=ConfigDict(pipeline=train), val=ConfigDict(pipeline=test, test_mode=True))
    built = {split: DATASETS.build(reader.dataset(old.get(split, old['val']), new))
             for split, new in facts.datasets.items()}
    return facts, built


def types(dataset):
    return [type(transform).__name__ for transform in dataset.pipeline.transforms]


@pytest.mark.parametrize('trimaps', [False, True])
def test_images_with_opacities(tmp_path, trimaps):
    """They stay as they are; trimaps are those of files, or bands of the width that training draws in the mean."""
    facts, data = read(write_images(tmp_path / 'mine', 20, trimaps), tmp_path)
    assert facts.layout == 'images with opacities' and sum(facts.counts.values()) == 20 and facts.counts['val']
    assert 'ComposeForeground' not in types(data['train'])
    sample = data['val'][0]['data_samples']
    alpha, trimap = sample.gt_alpha.data[0].numpy(), sample.trimap.data[0].numpy()
    index = int(sample.img_path[-7:-4])
    np.testing.assert_allclose(alpha, disc(index) / 255, atol=1e-6)
    soft = (alpha > 0) & (alpha < 1)
    if trimaps:
        assert not any('no trimaps' in note for note in facts.notes)
        np.testing.assert_array_equal(trimap == .5, soft)
    else:
        assert any('3 pixels around it are unknown' in note for note in facts.notes)
        assert (trimap[soft] == .5).all() and soft.sum() < (trimap == .5).sum() < trimap.size / 2
    assert 'trimap' in data['train'][0]['data_samples']


@pytest.mark.parametrize('transparent', [False, True])
def test_foregrounds_are_composed(tmp_path, transparent):
    """In training on ever other backgrounds, in validation always on the same; colours of clear pixels are kept."""
    facts, data = read(write_foregrounds(tmp_path / 'mine', 12, transparent), tmp_path)
    assert facts.layout == 'foregrounds with opacities, on 12 backgrounds'
    for dataset in data.values():
        found = dataset[0]
        sample, image = found['data_samples'], found['inputs'].numpy().astype(float)
        alpha = sample.gt_alpha.data[0].numpy()
        dark = 10 + 5 * int(sample.background.rpartition('/')[2][:-4])
        assert (np.abs(image[:, alpha == 0] - dark) <= 2).all() and (image[:, alpha == 1] >= 155).all()
        if dataset is not data['train']:  # whose crops may show less
            assert (alpha < .1).any() and (alpha > .9).any()
        half = (alpha > .4) & (alpha < .6)
        assert (np.abs(image[0] - (alpha * 220 + (1 - alpha) * dark))[half] < 3).all()  # BGR
    first, again = (data['val'][0] for _ in range(2))
    assert (first['inputs'] == again['inputs']).all()
    drawn = {data['train'][0]['data_samples'].background for _ in range(20)}
    assert len(drawn) > 1
    assert len({each['data_samples'].background for each in map(data['train'].__getitem__, range(9))}) > 1


def test_validation_is_composed_by_name_alone(tmp_path):
    """Another state of numpy's generator, another order: one background for one foreground."""
    data = read(write_foregrounds(tmp_path / 'mine', 30), tmp_path)[1]['val']
    backgrounds = []
    for order in (range(len(data)), reversed(range(len(data)))):
        np.random.seed(len(backgrounds))
        backgrounds.append({data[index]['data_samples'].img_path: data[index]['data_samples'].background
                            for index in order})
    assert backgrounds[0] == backgrounds[1]


@pytest.mark.parametrize('layout', ['{split}/{kind}', '{kind}/{split}'])
def test_splits__composed_to_learn_from_and_images_to_validate_on(tmp_path, layout):
    """As Composition-1k lies, and the folders of the configs."""
    root = tmp_path / 'mine'
    for index in range(3):
        names = dict(fg=np.full((*SIZE, 3), 200, np.uint8), alpha=disc(index))
        for kind, values in names.items():
            save(values, root / layout.format(split='train', kind=kind) / f'{index}.png')
        save(np.full((*SIZE, 3), 20, np.uint8), root / layout.format(split='train', kind='bg') / f'b{index}.png')
        for kind, values in dict(names, trimaps=band(disc(index))).items():
            kind = 'merged' if kind == 'fg' else kind
            save(values, root / layout.format(split='val', kind=kind) / f'{index}_0.png')
    facts, data = read(root, tmp_path)
    assert facts.counts == dict(train=3, val=3) and facts.division == 'in folders of their own'
    assert 'train: foregrounds' in facts.layout and 'val: images' in facts.layout
    assert 'ComposeForeground' in types(data['train']) and 'ComposeForeground' not in types(data['val'])
    assert data['val'][1]['data_samples'].img_path.endswith('1_0.png')
    assert (data['val'][1]['inputs'] == 200).all()
    assert 'background' in data['train'][1]['data_samples']


def test_lists_divide(tmp_path):
    folder = write_images(tmp_path / 'mine', 6)
    (folder / 'val.txt').write_text('002\n004.jpg\n')
    facts, data = read(folder, tmp_path)
    assert facts.counts == dict(train=4, val=2) and 'val.txt' in facts.division
    assert [data['val'].get_data_info(index)['alpha_path'][-7:] for index in range(2)] == ['002.png', '004.png']


def test_lists__of_folders_in_folders(tmp_path):
    """Paths with or without suffix; a bare name is one where no other file has it, and is refused where one has."""
    folder = tmp_path / 'mine'
    for name in ('x/a', 'y/a', 'y/b', 'c'):
        save(np.zeros((*SIZE, 3), np.uint8), folder / 'images' / f'{name}.jpg')
        save(disc(), folder / 'alpha' / f'{name}.png')
    (folder / 'train.txt').write_text('c\nx/a\n')
    for text, names in (('x/a.jpg\n', ['x/a']), ('y/a\nb.jpg', ['y/a', 'y/b']), ('c.jpg', ['c'])):
        (folder / 'val.txt').write_text(text)
        parts, division = divided_parts(folder)
        assert [pair.name for pair in parts['val'].pairs] == names
        assert ('images in both train.txt and val.txt: 1' in division) == (names != ['y/a', 'y/b'])
    (folder / 'val.txt').write_text('a.jpg\n')
    with pytest.raises(FolderError, match=r'names a\.jpg, as images/x/a\.jpg and images/y/a\.jpg .* write x/a or y/a'):
        divided_parts(folder)


def test_trimaps_of_training(tmp_path):
    """Files and drawn ones, about as often."""
    _, data = read(write_images(tmp_path / 'mine', 6, True), tmp_path)
    np.random.seed(0)
    narrow = []
    for _ in range(12):
        sample = data['train'][0]['data_samples']
        alpha, trimap = sample.gt_alpha.data, sample.trimap.data
        narrow.append(bool(((trimap == .5) & ((alpha <= 0) | (alpha >= 1))).sum() < 25))
    assert {True, False} == {*narrow}


@pytest.mark.parametrize('write', [write_images, write_foregrounds])
def test_configs_that_render(tmp_path, write):
    """Opacities are read in the place of those that are drawn, and nothing of validation is left to chance."""
    def rendering(transforms):
        return [dict(type='densevit.RenderForeground', objects=(8, )) if 'LoadAlpha' in each['type'] else each
                for each in transforms]
    folder = write(tmp_path / 'mine', 8)
    _, data = read(folder, tmp_path, rendering(TRAIN), rendering([*TEST[:2], *TRAIN[-3:]]))
    assert 'LoadAlpha' in types(data['train'])
    found = []
    for seed in range(3):
        np.random.seed(seed)
        found.append(data['val'][0])
    for each in found[1:]:
        assert (each['inputs'] == found[0]['inputs']).all()
        assert (each['data_samples'].trimap.data == found[0]['data_samples'].trimap.data).all()


def test_configs_without_a_place_to_compose(tmp_path):
    folder = write_foregrounds(tmp_path / 'mine')
    bare = [each for each in TRAIN if each['type'] != 'densevit.ComposeForeground']
    assert types(read(folder, tmp_path, bare)[1]['train']).index('ComposeForeground') == 4
    with pytest.raises(FolderError, match='loads no opacity: add'):
        read(folder, tmp_path, [dict(type='densevit.LoadImage'), dict(type='densevit.PackMatting')])


def spoil_folder(root, how):
    if how == 'no opacity':
        (root / 'alpha' / '001.png').unlink()
    elif how == 'no trimap':
        (root / 'trimaps' / '001.png').unlink()
    elif how == 'no folder':
        (root / 'alpha').rename(root / 'masks')
    elif how == 'no backgrounds':
        (root / 'images').rename(root / 'fg')
    elif how == 'not transparent':
        (root / 'images').rename(root / 'fg')
        (root / 'alpha').rename(root / 'backgrounds')
    elif how == 'no picture':
        for path in (root / 'images').iterdir():
            path.unlink()


@pytest.mark.parametrize('how, said', [
    ('no opacity', r'001\.jpg has no opacity in .*alpha: add a file of the same name'),
    ('no trimap', r'001\.jpg has no trimap in .*trimaps: add'),
    ('no folder', 'holds no opacities in images/ and alpha/'),
    ('no backgrounds', 'nothing to lay them on: put pictures .* into .*/backgrounds'),
    ('not transparent', r'000\.jpg has no transparency: save it as PNG with some, or put its opacity into .*alpha'),
    ('no picture', 'images has no picture'),
])
def test_folders_that_cannot_be_used(tmp_path, how, said):
    folder = write_images(tmp_path / 'mine', 3, True)
    spoil_folder(folder, how)
    with pytest.raises(FolderError, match=said):
        read(folder, tmp_path)


def look(folder, tmp_path, task='matting'):
    """What is said before a run of the data to learn from, all of it."""
    (folder / 'val.txt').write_text('004\n')
    data = read(folder, tmp_path)[1]['train']
    checks = MattingChecks.of(SimpleNamespace(task=task), data, ())
    checks.check_dataset(data, 'train')
    found = survey(data, 'train', [checks], FactsMemory(tmp_path / 'facts.json'))
    checks.check_sample(data[0])
    return found, checks.notes(data)


def test_good_data_need_no_words(tmp_path):
    found, notes = look(write_images(tmp_path / 'mine', 5, True), tmp_path)
    assert found.looked_at == 4 and not found.unlabelled and notes == []


def spoil_file(root, how):
    alpha, trimap = (root / kind / '001.png' for kind in ('alpha', 'trimaps'))
    values = disc(1)
    if how == 'size':
        save(values[:, :-3], alpha)
    elif how == 'colours':
        save(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8), alpha)
    elif how == 'labels':
        save((values > 127).astype(np.uint8), alpha)
    elif how == '8 in 16 bits':
        save(values.astype(np.uint16), alpha)
    elif how == 'unreadable':
        alpha.write_bytes(alpha.read_bytes()[:60])
    elif how in ('NaN', 'to 255'):
        numbers = values.astype(np.float32) / (255 if how == 'NaN' else 1)
        numbers[3, 5] = np.nan if how == 'NaN' else 1
        save(numbers, alpha.with_suffix('.tif'))
        alpha.unlink()
    elif how == '32 bits':
        save(values.astype(np.int32) * 2**20, alpha.with_suffix('.tif'))
        alpha.unlink()
    elif how == 'trimap size':
        save(band(values)[1:], trimap)
    elif how == 'trimap labels':
        save(band(values) // 127, trimap)


@pytest.mark.parametrize('how, said', [
    ('size', r'001\.jpg is read with 64x48 pixels, but its opacity .*001\.png has 61x48'),
    ('colours', r'alpha/001\.png has colours and nothing transparent: an opacity is grey'),
    ('labels', r'001\.png has 8 bits a pixel and no value above 1: write 255 where'),
    ('8 in 16 bits', r'001\.png has 16 bits a pixel and no value above 255: write 65535 where'),
    ('unreadable', r'001\.png cannot be read as a picture'), ('NaN', r'001\.tif has floating point values'),
    ('to 255', r'001\.tif has floating point values'), ('32 bits', r'001\.tif has values of more than 16 bits'),
    ('trimap size', r'but its trimap .*001\.png has 64x47'),
    ('trimap labels', r'trimaps/001\.png has 8 bits a pixel and no value above 2'),
])
def test_faults__name_the_file_and_the_remedy(tmp_path, how, said):
    folder = write_images(tmp_path / 'mine', 5, True)
    spoil_file(folder, how)
    with pytest.raises(DataError, match=said):
        look(folder, tmp_path)


def test_doubts__are_counted(tmp_path):
    folder = write_images(tmp_path / 'mine', 9, True)
    alpha, trimaps = folder / 'alpha', folder / 'trimaps'
    for index, values in ((0, np.zeros(SIZE, np.uint8)), (1, np.full(SIZE, 255, np.uint8)),
                          (2, np.where(disc(2) > 99, 255, 0).astype(np.uint8))):
        save(values, alpha / f'{index:03}.png')
        save(np.full(SIZE, 128, np.uint8), trimaps / f'{index:03}.png')
    save(np.where(disc(3) > 127, 255, 0).astype(np.uint8), trimaps / '003.png')  # known where it is partly transparent
    Image.fromarray(disc(5)).save(alpha / '005.jpg')
    (alpha / '005.png').unlink()
    found, notes = look(folder, tmp_path)
    assert found.unlabelled == 2
    for number, (what, name) in enumerate((
            ('0 everywhere', '000.png'), ('1 everywhere', '001.png'), ('they are masks', '002.png'),
            ('are JPEG', '005.jpg'), ('has otherwise', '003.png'), ('no unknown pixel', '003.png'))):
        assert notes[number].startswith('1 of 8 ') and what in notes[number] and name in notes[number]


def test_nothing_to_learn(tmp_path):
    folder = write_images(tmp_path / 'mine', 5)
    for path in (folder / 'alpha').iterdir():
        save(np.zeros(SIZE, np.uint8), path)
    with pytest.raises(EmptyDatasetError, match='all 4 opacities of the train data are 0 everywhere or 1 everywhere'):
        look(folder, tmp_path)


def test_backgrounds_that_cannot_be_read(tmp_path):
    folder = write_foregrounds(tmp_path / 'mine', 5)
    (folder / 'bg' / '3.jpg').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'the background .*bg/3\.jpg cannot be read'):
        look(folder, tmp_path)


def test_pipelines_without_what_is_needed(tmp_path):
    folder = write_images(tmp_path / 'mine', 5)
    for lacking, said in (('RandomTrimap', 'has no trimap: add'), ('LoadAlpha', 'loads no opacity: add')):
        train = [each for each in TRAIN if lacking not in each['type'] and 'Compose' not in each['type']
                 and (lacking != 'LoadAlpha' or each['type'].endswith(('LoadImage', 'PackMatting')))]
        data = DATASETS.build(dict(type='densevit.MattingDataset', data_root=str(folder), pipeline=train))
        with pytest.raises(MissingDataError, match=said):
            MattingChecks(True).check_sample(data[0])
        MattingChecks(False).check_sample(data[0])  # of another task's model


def test_empty_folders_of_a_config(tmp_path):
    (tmp_path / 'alpha').mkdir()
    (tmp_path / 'images').mkdir()
    with pytest.raises(EmptyDatasetError, match='train_dataloader.dataset: .* correct data_prefix'):
        MattingChecks.check_config(dict(type='densevit.MattingDataset', data_root=str(tmp_path)),
                                   'train_dataloader.dataset')


def test_opaque_transparency_is_none(tmp_path):
    """Grey that was saved with an opaque fourth channel is still the opacity."""
    from densevit.datasets.matting.alpha_files import read_alpha
    grey = disc()
    path = save(np.dstack([grey, grey, grey, np.full(SIZE, 255, np.uint8)]), tmp_path / 'a.png')
    np.testing.assert_array_equal(read_alpha(path), grey / np.float32(255))
    floats = save((grey / 255).astype(np.float32), tmp_path / 'b.tif')
    np.testing.assert_allclose(read_alpha(floats), grey / 255, atol=1e-6)

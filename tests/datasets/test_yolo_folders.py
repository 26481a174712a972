"""YOLO's folders as data of configs for boxes and for instances, and the layouts in which tools export COCO's files."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_like import write_coco_like
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from densevit.datasets.common.folders import FolderFacts, use_folder

WIDTH, HEIGHT = 80, 40
BOX, TRIANGLE = '0 .5 .5 .25 .5', '1 .25 .25 .75 .25 .5 .75'
YAML = 'train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: [cell, rod]\n'


def write_yolo(folder: Path, lines: str = f'{BOX}\n0 .2 .2 .1 .1\n1 .8 .8 .1 .1\n', text: str = YAML) -> Path:
    """As Roboflow exports: two images in each of ``train`` and ``valid``, and a ``test`` that is not there."""
    for split in ('train', 'valid'):
        for part in ('images', 'labels'):
            (folder / split / part).mkdir(parents=True)
        for index in range(2):
            Image.new('RGB', (WIDTH, HEIGHT), (index * 90, 0, 0)).save(folder / split / 'images' / f'{index}.jpg')
            (folder / split / 'labels' / f'{index}.txt').write_text(lines)
    (folder / 'data.yaml').write_text(text)
    return folder


def config(masks: bool = False, kind: str = 'densevit.CocoInstanceDataset') -> Config:
    transforms = [dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=masks)]
    own = dict(with_masks=masks) if kind.startswith('densevit') else {}
    loader = dict(dataset=dict(type=kind, ann_file='old.json', pipeline=transforms, **own))
    return Config(dict(
        default_scope='mmdet', model=dict(head=dict(num_classes=80)), train_dataloader=loader, val_dataloader=loader,
        val_evaluator=dict(type='mmdet.CocoMetric', ann_file='old.json')))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def read(folder: Path, scratch: Path, cfg: Config | None = None) -> tuple[FolderFacts, dict[str, dict[str, list]]]:
    """What is told, and the images with their objects as the config's datasets give them, by split and file name."""
    cfg, before = cfg or config(), content(folder)
    facts = use_folder(cfg, str(folder), scratch)
    assert content(folder) == before and cfg.model.head.num_classes == len(facts.classes)
    found = {}
    with DefaultScope.overwrite_default_scope('mmdet'):
        for split in ('train', 'val'):
            dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            infos = [dataset.get_data_info(index) for index in range(len(dataset))]
            assert all(Path(info['img_path']).is_file() for info in infos)
            found[split] = {Path(info['img_path']).name: info['instances'] for info in infos}
    return facts, found


@pytest.mark.parametrize('kind', ['densevit.CocoInstanceDataset', 'mmdet.CocoDataset'])
def test_boxes_and_polygons_are_those_of_the_labels(tmp_path, kind):
    (tmp_path / 'train' / 'images').mkdir(parents=True)  # is not what ../train/images of Roboflow means
    folder = write_yolo(tmp_path / 'mine', f'{TRIANGLE}\n0 .1 .1 .3 .1 .3 .3 .1 .3\n')
    cfg = config(True, kind)
    facts, found = read(folder, tmp_path / 'run', cfg)
    triangle, square = found['train']['1.jpg']
    assert triangle['bbox'] == pytest.approx([20, 10, 60, 30]) and triangle['bbox_label'] == 1
    assert triangle['mask'] == [pytest.approx([20, 10, 60, 10, 40, 30])]
    assert square['bbox'] == pytest.approx([8, 4, 24, 12]) and square['bbox_label'] == 0
    assert Path(cfg.val_evaluator.ann_file) == tmp_path / 'run' / 'val.json'
    areas = [each['area'] for each in json.loads((tmp_path / 'run' / 'val.json').read_text())['annotations'][:2]]
    assert areas == pytest.approx([400, 128], rel=.1)
    assert facts.counts == dict(train=2, val=2) and facts.classes == ('cell', 'rod')
    _, boxes = read(write_yolo(tmp_path / 'boxes'), tmp_path / 'run', config(kind=kind))
    assert boxes['val']['0.jpg'][0]['bbox'] == pytest.approx([30, 10, 50, 30])


def test_boxes_are_those_of_supervision(tmp_path):
    """Its reader is right for whole files of boxes or of polygons in one folder, without pixels in the wrong place."""
    detections = pytest.importorskip('supervision').DetectionDataset
    generator = np.random.default_rng(0)
    for number in range(2):
        lines = []
        for _ in range(20):
            x, y, width, height = generator.uniform([.2, .2, .05, .05], [.8, .8, .3, .3])
            corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
            values = [x, y, width, height] if number == 0 else [
                value for i, j in corners for value in (x + i * width / 2, y + j * height / 2)]
            lines.append(' '.join(map(str, [generator.integers(2), *values])))
        folder = write_yolo(tmp_path / str(number), '\n'.join(lines))
        _, found = read(folder, tmp_path / 'run', config(number == 1))
        theirs = detections.from_yolo(
            str(folder / 'train' / 'images'), str(folder / 'train' / 'labels'), str(folder / 'data.yaml'))
        assert theirs.classes == ['cell', 'rod']
        for path, truth in theirs.annotations.items():
            ours = found['train'][Path(path).name]
            np.testing.assert_allclose([each['bbox'] for each in ours], truth.xyxy, atol=1e-3)
            assert [each['bbox_label'] for each in ours] == truth.class_id.tolist()


def move(folder: Path, old: str, new: str) -> None:
    (folder / new).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / old, folder / new)


def as_ultralytics(folder: Path) -> None:
    for part in ('images', 'labels'):
        move(folder, f'train/{part}', f'{part}/train')
        move(folder, f'valid/{part}', f'{part}/val')
    (folder / 'data.yaml').rename(folder / 'mine.yml')
    (folder / 'mine.yml').write_text(
        'path: ../datasets/mine\ntrain: images/train\nval: [images/val]\ntest:\nnames: {0: cell, 1: rod}\n')


def as_lists(folder: Path) -> None:
    """As CVAT and Windows write, with a mark at the beginning and names of images relative to different folders."""
    (folder / 'lists').mkdir()
    for split in ('train', 'valid'):
        (folder / 'lists' / f'{split}.txt').write_bytes(
            b'\xef\xbb\xbf' + f'data/{split}/images/0.jpg\r\n..\\{split}\\images\\1.jpg\r\n\r\n'.encode())
    (folder / 'data.yaml').write_text('path: .\ntrain: lists/train.txt\nval: lists/valid.txt\nnames: [cell, rod]')


def as_windows(folder: Path) -> None:
    for path in folder.rglob('*.txt'):
        path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes().replace(b'\n', b'\r\n') + b'\r\n')
    (folder / 'data.yaml').write_bytes(b'\xef\xbb\xbf' + YAML.replace('\n', '\r\n').encode())


def as_label_studio(folder: Path) -> None:
    for part in ('images', 'labels'):
        for index in range(2):
            suffix = 'jpg' if part == 'images' else 'txt'
            move(folder, f'train/{part}/{index}.{suffix}', f'{part}/{index}.{suffix}')
    for name in ('data.yaml', 'train', 'valid'):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    (folder / 'classes.txt').write_text('cell\nrod\n')
    (folder / 'notes.json').write_text('{"categories": []}')


def as_absolute(folder: Path) -> None:
    """Images outside of the folder, in two folders whose images have the same names."""
    for split in ('train', 'valid'):
        shutil.move(folder / split, folder.parent / f'elsewhere_{folder.name}' / split)
    root = folder.parent / f'elsewhere_{folder.name}'
    (folder / 'data.yaml').write_text(
        f'train: {root}/train/images\nval: {root}/valid/images\ntest: {root}/valid/images\nnames: [cell, rod]')


def as_two_folders(folder: Path) -> None:
    shutil.copytree(folder / 'valid', folder / 'more')
    for index in range(2):
        (folder / 'more' / 'images' / f'{index}.jpg').rename(folder / 'more' / 'images' / f'{index}.png')
    (folder / 'data.yaml').write_text('train: [train/images, more/images]\nval: valid/images\nnames: [cell, rod]')


@pytest.mark.parametrize(('change', 'counts'), [
    (as_ultralytics, (2, 2)), (as_lists, (2, 2)), (as_windows, (2, 2)), (as_label_studio, (1, 1)),
    (as_absolute, (2, 2)), (as_two_folders, (4, 2))])
def test_layouts_of_yolo_give_the_same_objects(tmp_path, change, counts):
    folder = write_yolo(tmp_path / 'mine')
    change(folder)
    facts, found = read(folder, tmp_path / 'run')
    assert facts.counts.get('test') == (2 if change is as_absolute else None)
    assert (facts.counts['train'], facts.counts['val']) == counts and facts.classes == ('cell', 'rod')
    for split, count in zip(('train', 'val'), counts, strict=True):
        assert len(found[split]) == count
        for instances in found[split].values():
            assert [each['bbox_label'] for each in instances] == [0, 0, 1]
            assert instances[0]['bbox'] == pytest.approx([30, 10, 50, 30])


def test_classes_may_have_any_numbers_and_pictures_may_be_turned(tmp_path):
    folder = write_yolo(tmp_path / 'mine', '7 .5 .5 .5 .5', YAML.partition('nc')[0] + 'names: {9: b, 7: a, "2": c}')
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new('RGB', (WIDTH, HEIGHT)).save(folder / 'train' / 'images' / '0.jpg', exif=turned)
    facts, found = read(folder, tmp_path / 'run')
    assert facts.classes == ('c', 'a', 'b') and found['train']['0.jpg'][0]['bbox_label'] == 1
    assert found['train']['0.jpg'][0]['bbox'] == pytest.approx([HEIGHT / 4, WIDTH / 4, HEIGHT * .75, WIDTH * .75])
    text = '\n'.join(facts.lines(folder))
    assert '2 -> 0 (c)' in text and '7 -> 1 (a)' in text and '9 -> 2 (b)' in text


LABEL = Path('train/labels/1.txt')
# What is written into a label file, and what the error says beside its name and line; None where it is right.
LINES = {
    'class beyond the names': (f'{BOX}\n2 .5 .5 .1 .1', (2, 'class 2')),
    'class below zero': ('-1 .5 .5 .1 .1', (1, 'class -1')),
    'class of a fraction': ('0.5 .5 .5 .1 .1', (1, 'class 0.5')),
    'class as a float': ('1.0 .5 .5 .1 .1', None),
    'four numbers': (f'{BOX}\n\n0 .5 .5 .1', (3, '4 numbers')),
    'score behind': ('0 .5 .5 .1 .1 .9', (1, '6 numbers')),
    'pixels': ('0 320 240 64 48', (1, 'divide pixels')),
    'rounded beyond the border': ('0 .5 .5 1.000001 1', None),
    'nan': (f'{BOX}\n{BOX}1\n0 nan .5 .1 .1', (3, 'not finite')),
    'infinite': ('0 .5 inf .1 .1', (1, 'not finite')),
    'negative side': ('0 .5 .5 -.1 .1', (1, 'a side of the box')),
    'odd polygon': ('0 .1 .1 .2 .1 .2 .2 .3', (1, '8 numbers')),
    'letters': ('0 .5 O.5 .1 .1', (1, 'no number')),
    'commas': ('0,.5,.5,.1,.1', (1, 'no number')),
    'a name': ('cell .5 .5 .1 .1', (1, 'no number')),
    'twice': (f'{BOX}\n{BOX}\n', None),
    'boxes and polygons': (f'{BOX}\n{TRIANGLE}\n', None),
    'nothing': ('', None),
}


@pytest.mark.parametrize('kind', LINES)
def test_lines_that_cannot_be_read_are_named(tmp_path, kind):
    lines, said = LINES[kind]
    folder = write_yolo(tmp_path / 'mine')
    (folder / LABEL).write_text(lines)
    if said is None:
        _, found = read(folder, tmp_path / 'run')
        assert len(found['train']['1.jpg']) == {'nothing': 0, 'boxes and polygons': 2}.get(kind, 1)
        return
    with pytest.raises(ValueError, match='.') as error:
        use_folder(config(), str(folder), tmp_path / 'run')
    assert str(error.value).startswith(f'{folder / LABEL}, line {said[0]}:') and said[1] in str(error.value)
    assert '\n' not in str(error.value) and not (tmp_path / 'run').exists()


def names(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / 'data.yaml').write_text(YAML.replace('[cell, rod]', text))


def replaced(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / 'data.yaml').write_text(YAML.replace(old, new))


def lines(text: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / LABEL).write_bytes(text if isinstance(text, bytes) else text.encode())


def emptied(part: str) -> Callable[[Path], Any]:
    return lambda folder: [path.unlink() for path in (folder / part).iterdir()]


BOMB = 'a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nnames: [*c, *c]\ntrain: train/images\n'
FOLDERS: dict[str, tuple[Callable[[Path], Any], bool, tuple[str, ...]]] = {  # of a config of masks or not
    'no names': (replaced('names: [cell, rod]', ''), False, ('data.yaml', 'names')),
    'names of no text': (names('[cell, no]'), False, ('data.yaml', 'quotation marks')),
    'names twice': (names('[cell, cell]'), False, ('data.yaml', 'cell 2 times')),
    'names by name': (names('{cell: 0}'), False, ('data.yaml', '0: first')),
    'fewer than the names': (replaced('nc: 2', 'nc: 1'), False, ('data.yaml', 'nc: 1')),
    'bomb': (lambda folder: (folder / 'data.yaml').write_text(BOMB), False, ('data.yaml', 'quotation marks')),
    'code': (names('!!python/object/apply:os.getcwd []'), False, ('data.yaml', 'as YAML')),
    'not YAML': (names('[cell, rod'), False, ('data.yaml', 'as YAML')),
    'train elsewhere': (replaced('../train/images', 'training'), False, ('data.yaml', 'train', 'training')),
    'no train': (replaced('train: ../train/images', ''), False, ('data.yaml', 'no train')),
    'empty split': (emptied('valid/images'), False, ('data.yaml', 'val', 'has no image', 'remove')),
    'no labels': (emptied('train/labels'), False, ('train/images/0.jpg', 'train/labels/0.txt')),
    'one label of two images': (lambda folder: shutil.copy(
        folder / 'train/images/0.jpg', folder / 'train/images/0.png'), False, ('0.jpg', '0.png', 'labels/0.txt')),
    'no picture': (lambda folder: (folder / 'train/images/0.jpg').write_bytes(b'JPEG'), False, ('images/0.jpg', )),
    'keypoints': (replaced('nc: 2', 'kpt_shape: [3, 3]'), False, ('data.yaml', 'kpt_shape')),
    'two descriptions': (lambda folder: shutil.copy(folder / 'data.yaml', folder / 'dataset.yml'), False, (
        'data.yaml', 'dataset.yml', 'leave one')),
    'list of what is not there': (lambda folder: [
        (folder / 'train.txt').write_text('train/images/0.jpg\nabsent.jpg\n'),
        replaced('../train/images', 'train.txt')(folder)], False, ('train.txt, line 2', 'absent.jpg')),
    'UTF-16': (lines(BOX.encode('utf-16')), False, (str(LABEL), 'UTF-8')),
    'boxes for masks': (lines(f'{TRIANGLE}\n{BOX}\n'), True, (f'{LABEL}, line 2', 'polygon', 'boxes')),
    'two points for masks': (lines(f'{TRIANGLE}\n0 .1 .1 .4 .4'), True, (f'{LABEL}, line 2', 'polygon')),
}


@pytest.mark.parametrize('kind', FOLDERS)
def test_folders_that_cannot_be_read_are_named_with_a_remedy(tmp_path, kind):
    change, masks, said = FOLDERS[kind]
    folder = write_yolo(tmp_path / 'mine', *([f'{TRIANGLE}\n'] if masks else []))
    change(folder)
    with pytest.raises(ValueError, match='.') as error:
        use_folder(config(masks), str(folder), tmp_path / 'run')
    assert all(each in str(error.value) for each in said) and '\n' not in str(error.value), str(error.value)


def test_what_is_left_out_is_told(tmp_path):
    """An image without labels has no objects; labels without an image and a test split without labels are left out."""
    folder = write_yolo(tmp_path / 'mine')
    (folder / LABEL).rename(folder / 'train/labels/other.txt')
    (folder / 'test/images').mkdir(parents=True)
    shutil.copy(folder / 'train/images/0.jpg', folder / 'test/images')
    facts, found = read(folder, tmp_path / 'run')
    assert found['train']['1.jpg'] == [] and 'test' not in facts.counts
    text = ' '.join(facts.notes)
    assert 'as ' + str(folder / 'train/images/1.jpg') in text and 'train/labels/other.txt' in text
    assert 'test of' in text


def exported(folder: Path, data: dict[str, Any], name: str, images: str, prefix: str = '') -> Iterator[Path]:
    """A COCO file and its images as a tool lays them."""
    for image in data['images']:
        path = folder / images / image['file_name']
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder.parent / 'source' / 'images' / image['file_name'], path)
        image['file_name'] = (str(path) if prefix == '/' else prefix + image['file_name'])
        yield path
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(data))


@pytest.mark.parametrize(('name', 'images', 'prefix'), [
    ('annotations/instances_default.json', 'images', ''), ('annotations/instances_default.json', 'images/default', ''),
    ('result.json', 'images', 'images/'), ('result.json', 'images', 'images\\'), ('labels.json', 'data', ''),
    ('dataset.json', '.', ''), ('annotations.json', 'JPEGImages', 'JPEGImages/'), ('coco/dataset.json', 'photos', '/')],
    ids=['CVAT', 'CVAT with subsets', 'Label Studio', 'Label Studio on Windows', 'FiftyOne', 'labelme2coco',
         'labelme', 'absolute'])
def test_exports_in_the_form_of_coco_are_read(tmp_path, name, images, prefix):
    data = json.loads((write_coco_like(tmp_path / 'source') / 'instances.json').read_text())
    for path in list(exported(tmp_path / 'mine', data, name, images, prefix)):
        if name == 'dataset.json':  # labelme's own file of each image
            path.with_suffix('.json').write_text('{"shapes": []}')
    facts, found = read(tmp_path / 'mine', tmp_path / 'run', config(True))
    assert facts.classes == ('cell', 'rod') and sum(facts.counts.values()) == 6
    assert sorted(found['train'] | found['val']) == [f'{index}.jpg' for index in range(6)]
    assert '2 -> 0 (cell), 5 -> 1 (rod)' in '\n'.join(facts.lines(tmp_path))


def test_a_split_with_categories_in_another_order_is_read_by_their_names(tmp_path):
    """mmdetection numbers the categories as the file of the split lists them."""
    data = json.loads((write_coco_like(tmp_path / 'source') / 'instances.json').read_text())
    for split in ('train', 'val'):
        list(exported(tmp_path / 'mine', json.loads(json.dumps(data)), f'{split}/labels.json', f'{split}/data'))
        data['categories'].reverse()
    _, found = read(tmp_path / 'mine', tmp_path / 'run', config(True, 'mmdet.CocoDataset'))
    for name, instances in found['train'].items():
        assert [each['bbox_label'] for each in instances] == [each['bbox_label'] for each in found['val'][name]]

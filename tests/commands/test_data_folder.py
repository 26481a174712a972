"""``--data FOLDER``: what a folder is read as, and training, testing and predicting with it."""
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from coco_like import write_coco_like
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image
from test_coco_runs import CONFIG as COCO_CONFIG
from test_coco_runs import PARTS

from densevit import commands
from densevit.datasets.common.folders import FolderError, divide, set_num_classes, split_of, use_folder

SIZE = (72, 96)
TRUTH = np.zeros(SIZE, np.uint8)
TRUTH[30:], TRUTH[:, 60:] = 1, 2
COLORS = np.array([[0, 0, 0], [200, 30, 30], [30, 200, 30]], np.uint8)


def write_masks(folder: Path, save, count: int = 4, images: str = 'images', masks: str = 'masks') -> Path:
    """Pictures with a mask each; ``save(labels, path)`` writes labels (H, W) of 0 to 2 in its way."""
    (folder / images).mkdir(parents=True)
    (folder / masks).mkdir(parents=True)
    for index in range(count):
        noise = np.random.default_rng(index).normal(0, 12, (*SIZE, 3))
        Image.fromarray((COLORS[TRUTH] + noise).clip(0, 255).astype(np.uint8)).save(folder / images / f'{index:03}.jpg')
        save(TRUTH, folder / masks / f'{index:03}.png')
    return folder


def save_ids(labels, path):
    Image.fromarray(labels).save(path)


def save_sparse(labels, path):
    Image.fromarray(np.array([3, 7, 255], np.uint8)[labels]).save(path)


def save_two_values(labels, path):
    Image.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).save(path)


def save_palette(labels, path):
    picture = Image.fromarray(labels).convert('P')
    picture.putpalette(COLORS.flatten().tolist())
    picture.save(path)


def save_colours(labels, path):
    Image.fromarray(COLORS[labels]).save(path)


def save_greys(labels, path):
    Image.fromarray(np.repeat(labels[..., None], 3, 2)).save(path)


@pytest.fixture
def semantic(tiny_config) -> Config:
    return Config.fromfile(tiny_config)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def labels_read(cfg: Config) -> np.ndarray:
    """The label map of the first validation image as the config's pipeline reads it."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[
            each for each in cfg.val_dataloader.dataset.pipeline if 'Resize' not in each['type']]))
        return dataset[0]['data_samples'].gt_sem_seg.data[0].numpy()


NAMED = json.dumps([dict(name=name, color=color.tolist()) for name, color in zip('abc', COLORS, strict=True)])


def test_masks_are_read_as_labels(tmp_path, tiny_config):
    three, void = ('class 0', 'class 1', 'class 2'), np.where(TRUTH == 2, 255, TRUTH)
    for number, (save, names, classes, truth) in enumerate((
            (save_ids, {'classes.txt': 'a\nb\nc\n'}, ('a', 'b', 'c'), TRUTH),
            (save_ids, {'classes.json': '{"a": 0, "b": 1, "c": 2, "never": 3}'}, ('a', 'b', 'c', 'never'), TRUTH),
            (save_ids, {}, three, TRUTH), (save_palette, {}, three, TRUTH), (save_greys, {}, three, TRUTH),
            (save_sparse, {}, ('class 3', 'class 7'), void),
            (save_two_values, {}, ('background', 'foreground'), TRUTH > 0),
            (save_two_values, {'classes.txt': 'cell'}, ('background', 'cell'), TRUTH > 0),
            (save_colours, {'classes.json': NAMED}, ('a', 'b', 'c'), TRUTH),
            (save_colours, {'classes.json': NAMED.replace('"c"', 'null')}, ('a', 'b'), void))):
        cfg, folder = Config.fromfile(tiny_config), write_masks(tmp_path / f'mine{number}', save)
        for name, text in names.items():
            (folder / name).write_text(text)
        before = content(folder)
        facts = use_folder(cfg, str(folder), tmp_path / 'run' / 'data')
        assert facts.classes == classes and cfg.model.num_classes == len(classes)
        assert cfg.train_dataloader.dataset.metainfo.classes == classes and content(folder) == before
        np.testing.assert_array_equal(labels_read(cfg), truth, err_msg=f'{save} {names}')
        if save in (save_palette, save_colours):
            assert [list(color) for color in facts.palette] == COLORS[:len(classes)].tolist()


def test_values_and_notes_are_told(tmp_path, semantic):
    facts = use_folder(semantic, str(write_masks(tmp_path / 'mine', save_two_values, 12)), tmp_path / 'data')
    text = '\n'.join(facts.lines(tmp_path / 'mine'))
    assert '0 is read as background, 255 as foreground' in text and 'classes: 2 (background, foreground)' in text
    assert f'{facts.counts["train"]} to learn from' in text and sum(facts.counts.values()) == 12


def test_reduced_zero_labels_and_other_metrics_of_a_config_do_not_stay(tmp_path, semantic):
    semantic.merge_from_dict({'train_dataloader.dataset.pipeline.2.reduce_zero_label': True,
                              'val_evaluator': dict(type='mmseg.CityscapesMetric', output_dir='x')})
    use_folder(semantic, str(write_masks(tmp_path / 'mine', save_ids)), tmp_path / 'data')
    assert 'reduce_zero_label' not in semantic.train_dataloader.dataset.pipeline[2]
    assert semantic.val_evaluator.type == 'mmseg.IoUMetric'


def test_splits_of_a_folder_are_honoured(tmp_path, tiny_config):
    for number, (parts, lists, train, val) in enumerate((
            ((('train/images', 'train/masks', 3), ('valid/images', 'valid/masks', 2)), {}, 3, 2),
            ((('images/train', 'masks/train', 3), ('images/val', 'masks/val', 1)), {}, 3, 1),
            ((('images', 'labels', 5), ), {'train.txt': '000\n001.jpg\n', 'val.txt': '004\n'}, 2, 1),
            ((('images', 'labels', 5), ), {'val.txt': '004\n'}, 4, 1),
            ((('images', 'masks', 2), ), {}, 1, 1))):
        cfg, folder = Config.fromfile(tiny_config), tmp_path / f'mine{number}'
        for images, masks, count in parts:
            write_masks(folder, save_ids, count, images, masks)
        for name, text in lists.items():
            (folder / name).write_text(text)
        facts = use_folder(cfg, str(folder), tmp_path / 'data')
        assert (facts.counts['train'], facts.counts['val']) == (train, val)
        with DefaultScope.overwrite_default_scope('mmseg'):
            paths = [{dataset.get_data_info(index)['img_path'] for index in range(len(dataset))} for dataset in (
                DATASETS.build(cfg[f'{split}_dataloader'].dataset) for split in ('train', 'val'))]
        assert [len(each) for each in paths] == [train, val] and not paths[0] & paths[1]


def test_division_is_of_names_alone_and_stays_when_files_are_added(tmp_path):
    names = [f'{index}.jpg' for index in range(200)]
    train, val = divide(names, tmp_path)
    assert sorted(train + val) == sorted(names) and 8 <= len(val) <= 35
    more = divide([*names, 'another.jpg'], tmp_path)
    assert set(train) <= set(more[0]) and set(val) <= set(more[1])
    for few in (['a', 'b'], ['c', 'd'], ['17', '18'], ['e', 'f', 'g']):
        assert all(divide(few, tmp_path))
    assert [split_of(name) for name in ('valid', 'instances_val2017', 'Train', 'evaluation', 'images')] == [
        'val', 'val', 'train', None, None]


def spoil(folder: Path, kind: str) -> None:
    if kind == 'missing':
        (folder / 'masks' / '001.png').unlink()
    elif kind == 'unknown id':
        (folder / 'classes.txt').write_text('a\nb')
    elif kind == 'jpeg':
        Image.fromarray(TRUTH).save(folder / 'masks' / '001.jpg')
        (folder / 'masks' / '001.png').unlink()
    elif kind == 'damaged':
        (folder / 'masks' / '001.png').write_bytes(b'PNG')
    elif kind == 'one value':
        for path in (folder / 'masks').iterdir():
            Image.fromarray(TRUTH * 0).save(path)
    elif kind == '16 bit':
        Image.fromarray(TRUTH.astype(np.uint16) * 300).save(folder / 'masks' / '001.png')
    elif kind == 'mixed':
        save_colours(TRUTH, folder / 'masks' / '001.png')
    elif kind == 'photograph':
        for path in (folder / 'masks').iterdir():
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)).save(path)
    elif kind == 'names':
        (folder / 'classes.json').write_text('[{"id": 0}]')
    elif kind == 'list':
        (folder / 'train.txt').write_text('999\n')
    elif kind == 'twice':
        shutil.copy(folder / 'images' / '001.jpg', folder / 'images' / '001.jpeg')
    elif kind == 'nothing':
        shutil.rmtree(folder / 'masks')


def test_what_cannot_be_read_is_named_with_a_remedy(tmp_path, tiny_config):
    for kind, said in (
            ('missing', 'images/001.jpg has no mask in'), ('unknown id', 'png holds 2, which'),
            ('jpeg', 'masks/001.jpg is a JPEG'), ('damaged', 'masks/001.png cannot be read'),
            ('one value', 'two classes are needed'), ('16 bit', 'masks/001.png holds 300'),
            ('mixed', 'save all masks in one way'), ('photograph', 'without compression or interpolation'),
            ('names', 'classes.json cannot be read as names'), ('list', 'train.txt names 999'),
            ('twice', 'rename one'), ('nothing', 'images/ and masks/')):
        folder = write_masks(tmp_path / kind, save_ids)
        spoil(folder, kind)
        with pytest.raises(FolderError) as error:
            use_folder(Config.fromfile(tiny_config), str(folder), tmp_path / 'data')
        assert said in str(error.value) and str(folder) in str(error.value)


def test_the_remedy_for_colours_helps(tmp_path, semantic):
    folder = write_masks(tmp_path / 'mine', save_colours)
    with pytest.raises(FolderError) as error:
        use_folder(semantic, str(folder), tmp_path / 'data')
    path, wanted = str(error.value).partition('write ')[2].split(' with ', 1)
    Path(path).write_text(wanted)
    facts = use_folder(semantic, str(folder), tmp_path / 'data')
    assert facts.classes == ('class 0', 'class 1', 'class 2') and facts.palette


def test_heads_and_losses_follow_the_number_of_classes():
    model = dict(
        type='mmseg.EncoderDecoder', backbone=dict(num_classes=19), decode_head=dict(num_classes=19, loss_decode=dict(
            type='CrossEntropyLoss', class_weight=None)), auxiliary_head=[dict(num_classes=19), dict(num_classes=2)])
    set_num_classes(model, 5)
    assert model['decode_head']['num_classes'] == model['auxiliary_head'][0]['num_classes'] == 5
    assert model['backbone']['num_classes'] == 19 and model['auxiliary_head'][1]['num_classes'] == 2
    model['decode_head']['loss_decode']['class_weight'] = [1.] * 19
    with pytest.raises(FolderError, match='set model.decode_head.loss_decode.class_weight=None'):
        set_num_classes(model, 4)
    with pytest.raises(FolderError, match='num_classes'):
        set_num_classes(dict(type='X'), 4)


def write_roboflow(folder: Path, count: int = 4) -> Path:
    """``train`` and ``valid`` with images beside their JSON, and an empty category that is the parent of the others."""
    source = write_coco_like(folder.with_name('source'), count)
    data = json.loads((source / 'instances.json').read_text())
    data['categories'] = [dict(id=0, name='things', supercategory='none')] + [
        dict(id=each['id'], name=each['name'], supercategory='things') for each in data['categories']]
    for split in ('train', 'valid'):
        (folder / split).mkdir(parents=True)
        (folder / split / '_annotations.coco.json').write_text(json.dumps(data))
        for path in (source / 'images').iterdir():
            shutil.copy(path, folder / split)
    return folder


def write_one_json(folder: Path, count: int = 6) -> Path:
    source = write_coco_like(folder.with_name('source'), count)
    shutil.copytree(source / 'images', folder)
    shutil.copy(source / 'instances.json', folder / 'labels.json')
    return folder


def write_annotations(folder: Path, count: int = 4) -> Path:
    source = write_coco_like(folder.with_name('source'), count)
    (folder / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        shutil.copytree(source / 'images', folder / 'images' / f'{split}2017')
        shutil.copy(source / 'instances.json', folder / 'annotations' / f'instances_{split}2017.json')
        shutil.copy(source / 'panoptic.json', folder / 'annotations' / f'panoptic_{split}2017.json')
    return folder


@pytest.fixture
def instances(tmp_path) -> Path:
    path = tmp_path / 'instances.py'
    path.write_text(COCO_CONFIG.format(root=ROOT.as_posix(), task='instance', **PARTS['instance']))
    return path


def test_coco_files_are_found_in_their_layouts(tmp_path, instances):
    for write, counts in ((write_roboflow, dict(train=4, val=4)), (write_annotations, dict(train=4, val=4)),
                          (write_one_json, None)):
        cfg, folder = Config.fromfile(instances), write(tmp_path / write.__name__ / 'mine')
        before = content(folder)
        facts = use_folder(cfg, str(folder), tmp_path / 'run' / 'data')
        assert facts.classes == ('cell', 'rod') and cfg.model.num_classes == 2 and content(folder) == before
        with DefaultScope.overwrite_default_scope('mmseg'):
            train, val = (DATASETS.build(cfg[f'{split}_dataloader'].dataset) for split in ('train', 'val'))
        for dataset in (train, val):
            infos = [dataset.get_data_info(index) for index in range(len(dataset))]
            assert all(Path(info['img_path']).is_file() for info in infos)
            assert {each['bbox_label'] for info in infos for each in info['instances']} == {0, 1}
        assert dict(train=len(train), val=len(val)) == facts.counts == (counts or facts.counts)
        if counts is None:
            assert sum(facts.counts.values()) == 6 and {info['img_id'] for info in infos}.isdisjoint(
                train.get_data_info(index)['img_id'] for index in range(len(train)))


def test_stock_metrics_get_the_annotations(tmp_path, instances):
    cfg = Config.fromfile(instances)
    cfg.val_evaluator = [dict(type='mmdet.CocoMetric', ann_file='old.json', metric='segm')]
    use_folder(cfg, str(write_roboflow(tmp_path / 'mine')), tmp_path / 'data')
    assert Path(cfg.val_evaluator[0].ann_file) == tmp_path / 'mine' / 'valid' / '_annotations.coco.json'


def test_coco_files_that_do_not_fit_are_named(tmp_path, instances):
    for kind, said in (
            ('boxes', 'annotations without a segmentation'), ('missing', 'train/0.jpg, which'),
            ('category', "has no category 'rod'"), ('two', 'are both annotations'),
            ('none', 'no annotations to learn from')):
        folder = write_roboflow(tmp_path / kind / 'mine')
        path = folder / 'valid' / '_annotations.coco.json'
        data = json.loads(path.read_text())
        if kind == 'boxes':
            data['annotations'][0]['segmentation'] = []
        elif kind == 'missing':  # the image of that name in valid is another's
            (folder / 'train' / '0.jpg').unlink()
        elif kind == 'category':
            data['categories'] = [each for each in data['categories'] if each['name'] != 'rod']
        elif kind == 'two':
            shutil.copytree(folder / 'valid', folder / 'validation')
        path.write_text(json.dumps(data))
        if kind == 'none':
            shutil.rmtree(folder), folder.mkdir()
        with pytest.raises(FolderError) as error:
            use_folder(Config.fromfile(instances), str(folder), tmp_path / 'data')
        assert said in str(error.value) and str(folder) in str(error.value)


def test_a_task_that_reads_no_folders_says_so(tmp_path):
    path = tmp_path / 'panoptic.py'
    path.write_text(COCO_CONFIG.format(root=ROOT.as_posix(), task='panoptic', **PARTS['panoptic']))
    with pytest.raises(FolderError, match='densevit.PanopticDataset.*densevit.CocoInstanceDataset'):
        use_folder(Config.fromfile(path), str(tmp_path), tmp_path / 'data')
    with pytest.raises(FileNotFoundError, match='absent of --data does not exist'):
        use_folder(Config.fromfile(path), str(tmp_path / 'absent'), tmp_path / 'data')


def run(*arguments: object) -> int:
    return commands.main([str(argument) for argument in arguments])


def predicted_classes(picture: Path, config: Path, weights: Path, out: Path) -> set[str]:
    assert run('predict', picture, '--config', config, '--weights', weights, '--out', out, '--json') == 0
    return {each['name'] for each in json.loads(next(out.rglob('*.json')).read_text())['areas']}


def test_masks__train_test_and_predict(camvid_like, tiny_config, tool, tmp_path, capsys):
    """Fine-tuned from a model of other classes; what is written knows the new ones."""
    folder = write_masks(tmp_path / 'mine', save_ids, 6)
    (folder / 'classes.txt').write_text('floor\nwall\ndoor\n')
    before, work_dir = content(folder), tmp_path / 'run'
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'old', '--cfg-options', 'train_cfg.max_iters=1') == 0
    assert tool('train', tiny_config, '--data', folder, '--load-from', tmp_path / 'old' / 'iter_1.pth', '--new-classes',
                '--work-dir', work_dir, '--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2') == 0
    printed = capsys.readouterr().out
    assert '3 (floor, wall, door)' in printed
    assert f'--config {work_dir / "tiny.py"} --weights {work_dir / "iter_2.pth"}' in printed
    checkpoint = work_dir / 'iter_2.pth'
    assert tool('test', tiny_config, checkpoint, '--data', folder, '--work-dir', tmp_path / 'test') == 0
    assert all(name in capsys.readouterr().out for name in ('mIoU',)) and content(folder) == before
    found = predicted_classes(folder / 'images' / '000.jpg', work_dir / 'tiny.py', checkpoint, tmp_path / 'out')
    assert found and found <= {'floor', 'wall', 'door'}


def test_coco__train_test_and_predict(instances, tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder, work_dir = write_one_json(tmp_path / 'mine'), tmp_path / 'run'
    assert tool('train', instances, '--data', folder, '--work-dir', work_dir, '--cfg-options',
                'train_cfg.max_iters=2', 'train_cfg.val_interval=2') == 0
    assert '2 (cell, rod)' in capsys.readouterr().out and os.listdir(work_dir / 'data')
    checkpoint = work_dir / 'iter_2.pth'
    assert tool('test', instances, checkpoint, '--data', folder, '--work-dir', tmp_path / 'test') == 0
    found = predicted_classes(folder / '0.jpg', work_dir / 'instances.py', checkpoint, tmp_path / 'out')
    assert found <= {'cell', 'rod'}

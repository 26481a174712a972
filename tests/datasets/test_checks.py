"""What is said of data before a run, and that what it advises helps."""
import shutil
from collections import Counter

import numpy as np
import pytest
from coco_like import write_coco_like
from mmengine.config import Config
from mmengine.dataset import ClassBalancedDataset, ConcatDataset
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.evaluation import IoUMetric
from PIL import Image
from survey_rules import labels

from densevit.datasets import CocoInstanceDataset, PanopticDataset
from densevit.datasets.common.checks import (
    ClassesError,
    check_classes,
    check_coco_files,
    check_same_classes,
    check_stock_coco,
    summary,
)
from densevit.datasets.common.coco_json import AnnotationError, EmptyDatasetError
from densevit.datasets.common.file_facts import FactsMemory
from densevit.datasets.common.locate import MissingDataError
from densevit.datasets.common.survey import leaves, survey
from densevit.datasets.common.task_checks import DataError
from densevit.datasets.segmentation.checks import SegmentationChecks, left_out
from densevit.datasets.segmentation.label_maps import LabelRule
from densevit.datasets.tasks import check_configs
from densevit.registry import DATASETS, TRANSFORMS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]


@pytest.fixture
def maps(tmp_path):
    """Two classes, of which the second is in one image of three."""
    for part in ('images', 'labels'):
        (tmp_path / part).mkdir()
    for index in range(3):
        labels = np.zeros((20, 30), np.uint8)
        labels[5:9] = index == 1
        Image.fromarray(np.stack([labels * 99] * 3, -1)).save(tmp_path / 'images' / f'{index}.jpg')
        Image.fromarray(labels).save(tmp_path / 'labels' / f'{index}.png')
    return tmp_path


def entry(folder, **options):
    return dict(dict(type='mmseg.BaseSegDataset', data_root=str(folder), pipeline=PIPELINE, serialize_data=False,
                     data_prefix=dict(img_path='images', seg_map_path='labels'), metainfo=dict(classes=('a', 'b'))),
                **options)


def config(dataset):
    return Config(dict(default_scope='mmseg', train_dataloader=dict(dataset=dataset)))


def loaded(dataset, name, *metrics):
    SegmentationChecks(LabelRule(), metrics=metrics).check_loaded(dataset, name)


def summed_up(surveys, datasets):
    return summary(surveys, datasets, dict.fromkeys(surveys, labels()))


def rename(folder, old, new):
    for path in folder.glob(f'*{old}'):
        path.rename(path.with_suffix(new))


# No image.

def test_files_of_another_suffix__obeyed(maps):
    rename(maps / 'images', '.jpg', '.JPG')
    with pytest.raises(EmptyDatasetError, match="ends in '.jpg', but 3 in '.JPG': .*dataset.img_suffix='.JPG'"):
        check_configs(config(entry(maps)))
    check_configs(config(entry(maps, img_suffix='.JPG')))


def test_a_dataset_may_be_named_by_its_class(maps):
    check_configs(Config(dict(train_dataloader=dict(dataset=entry(maps, type=BaseSegDataset)))), ('train', ))


def test_an_empty_list__obeyed(maps):
    (maps / 'list.txt').touch()
    with pytest.raises(EmptyDatasetError, match="list.txt has no line.*train_dataloader.dataset.ann_file=''"):
        check_configs(config(entry(maps, ann_file='list.txt')))
    check_configs(config(entry(maps, ann_file='')))
    (maps / 'list.txt').write_text('0\n2\n')
    check_configs(config(entry(maps, ann_file='list.txt')))


def test_an_empty_folder__obeyed(maps):
    (maps / 'elsewhere').mkdir()
    wrapped = dict(type='RepeatDataset', times=2, dataset=entry(maps, data_prefix=dict(img_path='elsewhere')))
    with pytest.raises(EmptyDatasetError, match='elsewhere has no image.*train_dataloader.dataset.dataset.data_root'):
        check_configs(config(wrapped))
    shutil.copy(maps / 'images' / '0.jpg', maps / 'elsewhere')
    check_configs(config(wrapped))


def test_pictures_left_out_for_their_suffix__obeyed(maps):
    for name in ('7.JPG', '8.JPG', '9.jpeg', 'notes.txt'):
        shutil.copy(maps / 'images' / '0.jpg', maps / 'images' / name)
    dataset = DATASETS.build(entry(maps))
    assert left_out(dataset) == Counter({'.JPG': 2, '.jpeg': 1})
    said = '\n'.join(summed_up(dict(train=survey(dataset, 'train', labels(2))), dict(train=dataset)))
    assert "'.jpg' are left out (2 .JPG, 1 .jpeg): rename them" in said and "img_suffix='.JPG'" in said
    for name in '789':
        shutil.copy(maps / 'labels' / '0.png', maps / 'labels' / f'{name}.png')
    both = ConcatDataset([DATASETS.build(entry(maps)), DATASETS.build(entry(maps, img_suffix='.JPG'))])
    assert survey(both, 'train', labels(2)).images == 5
    for suffix in ('.JPG', '.jpeg'):
        rename(maps / 'images', suffix, '.jpg')
    dataset = DATASETS.build(entry(maps))
    assert len(dataset) == 6 and not left_out(dataset)


def test_label_maps_beside_their_images_are_not_left_out(maps):
    for path in (maps / 'labels').iterdir():
        path.rename(maps / 'images' / path.name)
    assert not left_out(DATASETS.build(entry(maps, data_prefix=dict(img_path='images', seg_map_path='images'))))


# Classes.

def coco(folder, name='instances', **options):
    return CocoInstanceDataset(f'{name}.json', data_root=str(folder), data_prefix=dict(img='images'),
                               serialize_data=False, **options)


@pytest.fixture
def folder(tmp_path):
    return write_coco_like(tmp_path / 'data')


def fewer(folder, *names):
    """A file with only these categories."""
    content = Config.fromfile(folder / 'instances.json')
    kept = [category for category in content.categories if category.name in names]
    content.annotations = [each for each in content.annotations if each.category_id in [c.id for c in kept]]
    content.categories = kept
    content.dump(folder / 'fewer.json')
    return content


@pytest.mark.parametrize('absent', ['cell', 'rod'])
def test_a_validation_file_with_fewer_categories__obeyed(absent, folder):
    content = fewer(folder, *{'cell', 'rod'} - {absent})
    train = coco(folder)
    with pytest.raises(ClassesError, match=f"add '{absent}' to the categories of .*fewer.json.*order of the train"):
        check_same_classes(coco(folder, 'fewer'), train, 'val', 'train')
    content.categories.insert(('cell', 'rod').index(absent), dict(id=99, name=absent))
    content.dump(folder / 'fewer.json')
    check_same_classes(coco(folder, 'fewer'), train, 'val', 'train')


def test_a_validation_file_with_more_categories_or_another_order__obeyed(folder):
    fewer(folder, 'rod')
    for chosen in (('rod', ), ('rod', 'cell')):
        train = coco(folder, metainfo=dict(classes=chosen)) if len(chosen) > 1 else coco(folder, 'fewer')
        with pytest.raises(ClassesError, match='val_dataloader.dataset.metainfo=') as caught:
            check_same_classes(coco(folder), train, 'val', 'train')
        remedy = str(caught.value).partition('metainfo=dict(classes=')[2].partition(')')[0]
        advised = [name.strip(" '") for name in remedy.strip('[]').split(',')]
        check_same_classes(coco(folder, metainfo=dict(classes=advised)), train, 'val', 'train')


def test_classes_that_are_one_text__obeyed(maps, folder):
    with pytest.raises(ValueError, match=r"is the text 'cell'.*classes=\['cell'\]"):
        coco(folder, metainfo=dict(classes=('cell')))  # no tuple without a comma
    assert coco(folder, metainfo=dict(classes=['cell'])).metainfo['classes'] == ('cell', )
    stock = BaseSegDataset(data_root=str(maps), metainfo=dict(classes='leaf'), lazy_init=True)
    with pytest.raises(ClassesError, match=r"train_dataloader.dataset.metainfo=dict\(classes=\['leaf'\]\)"):
        check_classes(stock, 4, 'model.num_classes', 'train')
    check_classes(BaseSegDataset(data_root=str(maps), metainfo=dict(classes=['leaf']), lazy_init=True), 1, '', 'train')


def test_a_category_that_the_file_has_not__what_it_has(folder):
    with pytest.raises(AnnotationError, match='no category of .*instances.json: it has cell, rod'):
        coco(folder, metainfo=dict(classes=['nucleus']))


# Labels.

def test_tests_without_label_maps__obeyed(maps):
    metric = IoUMetric()
    without = DATASETS.build(entry(maps, data_prefix=dict(img_path='images')))
    with pytest.raises(MissingDataError, match='test_dataloader.dataset.data_prefix.seg_map_path, or only write pred'):
        loaded(without, 'test', metric)
    loaded(DATASETS.build(entry(maps)), 'test', metric)
    loaded(without, 'test', IoUMetric(format_only=True, output_dir=str(maps / 'out')))
    assert survey(without, 'test', labels(2)).unlabelled == 3


def test_classes_without_names__obeyed(maps):
    with pytest.raises(ClassesError, match='set val_dataloader.dataset.metainfo='):
        loaded(DATASETS.build(entry(maps, metainfo=None)), 'val', IoUMetric())
    loaded(DATASETS.build(entry(maps, metainfo=dict(classes=['first', 'second']))), 'val', IoUMetric())


def test_a_pipeline_that_loads_no_labels__obeyed(maps):
    with pytest.raises(MissingDataError, match="add dict.type='mmseg.LoadAnnotations'.*format_only=True"):
        loaded(DATASETS.build(entry(maps, pipeline=[PIPELINE[0], PIPELINE[2]])), 'val', IoUMetric())
    loaded(DATASETS.build(entry(maps)), 'val', IoUMetric())


@TRANSFORMS.register_module(force=True)
class ColoursForTest(LoadAnnotations):
    def _load_seg_map(self, results):
        results['gt_seg_map'] = np.zeros((20, 30), np.uint8)


def test_label_maps_that_another_transform_reads_are_not_judged(maps):
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(maps / 'labels' / '0.png')
    with pytest.raises(DataError, match='colour picture'):
        survey(DATASETS.build(entry(maps)), 'train', labels(2))
    own = DATASETS.build(entry(maps, pipeline=[PIPELINE[0], dict(type='densevit.ColoursForTest')]))
    assert survey(own, 'train', labels(2)).looked_at == 3


def test_the_table(maps):
    dataset = DATASETS.build(entry(maps, metainfo=dict(classes=('a', 'b', 'c'))))
    found = survey(dataset, 'train', labels(3))
    assert found.classes == {0: 3, 1: 1}
    lines = summed_up(dict(train=found, val=found), dict(train=dataset, val=dataset))
    assert lines[1].split() == ['train', '3', '3', '0', '2', 'of', '3'] and 'train: never occurs: c' in lines
    part = survey(dataset, 'train', labels(3), max_files=2)
    assert (part.images, part.looked_at) == (3, 2)
    assert any('max_files' in line for line in summed_up(dict(train=part), dict(train=dataset)))


def test_what_was_read_once_is_remembered_until_it_changes(maps, monkeypatch):
    memory = FactsMemory(maps / 'memory.json')
    dataset = DATASETS.build(entry(maps))
    survey(dataset, 'train', labels(2), memory)
    memory.save()
    read = []
    monkeypatch.setattr('densevit.datasets.common.file_facts.Image.open', lambda path, opened=Image.open: (
        read.append(path), opened(path))[1])
    assert survey(dataset, 'train', labels(2), FactsMemory(maps / 'memory.json')).classes == {0: 3, 1: 1}
    assert not read
    Image.fromarray(np.full((20, 30), 7, np.uint8)).save(maps / 'labels' / '1.png')
    with pytest.raises(DataError, match='1.png holds label 7'):
        survey(dataset, 'train', labels(2), FactsMemory(maps / 'memory.json'))
    assert len(read) == 1
    for damage in ('', '[]', '{"version": 1}', '{"version": 1, "files": 5}'):
        (maps / 'memory.json').write_text(damage)
        assert not FactsMemory(maps / 'memory.json').known


# Wrappers.

def test_wrapped_datasets_are_looked_at_once(maps):
    repeated = DATASETS.build(dict(type='RepeatDataset', times=50, dataset=dict(
        type='ConcatDataset', datasets=[entry(maps)] * 2)))
    assert len([*leaves(repeated)]) == 2 and survey(repeated, 'train', labels(2)).images == 6


def test_rare_classes_are_repeated_as_by_mmdetection(folder):
    from mmdet.datasets import CocoDataset
    content = fewer(folder, 'cell', 'rod')
    content.annotations = [dict(each, id=index + 1) for index, each in enumerate(content.annotations)
                           if each.category_id == 2 or each.image_id == 13]
    content.dump(folder / 'fewer.json')
    stock = CocoDataset(ann_file='fewer.json', data_root=str(folder), data_prefix=dict(img='images'),
                        metainfo=dict(classes=('cell', 'rod')), serialize_data=False)
    expected = ClassBalancedDataset(stock, oversample_thr=.9).repeat_indices
    assert ClassBalancedDataset(coco(folder, 'fewer'), oversample_thr=.9).repeat_indices == expected
    assert len(expected) > 6
    panoptic = PanopticDataset('panoptic.json', data_root=str(folder), data_prefix=dict(img='images', seg='segments'))
    assert sorted(set(panoptic.get_cat_ids(0))) == [0, 1, 2, 3]
    ClassBalancedDataset(panoptic, oversample_thr=.9)


# mmdetection's own dataset.

def stock(folder, classes, name='stock'):
    from mmdet.datasets import CocoDataset
    return CocoDataset(ann_file=f'{name}.json', data_root=str(folder), data_prefix=dict(img='images'),
                       metainfo=dict(classes=classes), serialize_data=False)


@pytest.fixture
def stock_file(folder):
    content = Config.fromfile(folder / 'instances.json')
    content.annotations = [dict(each, id=index + 1) for index, each in enumerate(content.annotations)]
    content.dump(folder / 'stock.json')
    return content


def test_classes_in_another_order_than_mmdetection_numbers_them__obeyed(folder, stock_file):
    with pytest.raises(ClassesError, match=r"dict\(classes=\['cell', 'rod'\]\), or put the categories of the file"):
        check_stock_coco(stock(folder, ('rod', 'cell')), 'train')
    check_stock_coco(stock(folder, ('cell', 'rod')), 'train')
    stock_file.categories.reverse()
    stock_file.dump(folder / 'stock.json')
    check_stock_coco(stock(folder, ('rod', 'cell')), 'train')
    with pytest.raises(ClassesError, match='put the categories of its ann_file'):
        check_same_classes(stock(folder, ('rod', 'cell')), coco(folder), 'val', 'train')


def test_a_class_that_mmdetection_would_leave_out(folder, stock_file):
    with pytest.raises(ClassesError, match="has 'cel', which is no category of .*stock.json: it has cell, rod"):
        check_stock_coco(stock(folder, ('cel', 'rod')), 'train')
    check_stock_coco(stock(folder, ('rod', )), 'train')  # one of two is right


def test_two_images_of_one_id_and_boxes_that_mmdetection_leaves_out(folder, stock_file):
    assert check_stock_coco(stock(folder, ('cell', 'rod')), 'train') == {}
    stock_file.annotations[0].bbox = [5, 5, 0, 9]
    stock_file.annotations[1].bbox = [500, 5, 9, 9]
    stock_file.dump(folder / 'stock.json')
    assert [*check_stock_coco(stock(folder, ('cell', 'rod')), 'train').values()] == [2]
    stock_file.images[1].id = stock_file.images[0].id
    stock_file.dump(folder / 'stock.json')
    with pytest.raises(AnnotationError, match='two images of id 10'):
        check_stock_coco(stock(folder, ('cell', 'rod')), 'train')


@pytest.mark.parametrize(('damage', 'words'), [
    (lambda d: d['annotations'][3].pop('area'), 'number 3 of the annotations in .*stock.json has no area: add it'),
    (lambda d: d['annotations'][3].pop('bbox'), 'number 3 of the annotations in .*stock.json has no bbox'),
    (lambda d: d['annotations'][3].update(bbox=[1, 2, 3]), 'number 3 of the annotations in .*stock.json is not of '),
    (lambda d: d['categories'][1].pop('name'), 'number 1 of the categories in .*stock.json has no name'),
    (lambda d: d['images'][2].pop('height'), 'number 2 of the images in .*stock.json has no height'),
])
def test_what_mmdetection_cannot_build_is_said_with_the_place(damage, words, folder, stock_file):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='mmdet.CocoDataset', data_root=str(folder), ann_file='stock.json'))))
    check_coco_files(cfg)
    damage(stock_file)
    stock_file.dump(folder / 'stock.json')
    with pytest.raises((KeyError, ValueError, TypeError)):
        stock(folder, ('cell', 'rod'))
    with pytest.raises(AnnotationError, match=words):
        check_coco_files(cfg)

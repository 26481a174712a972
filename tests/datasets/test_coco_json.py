"""COCO's annotation files: labels follow the categories, and what is wrong in them is said in one line."""
import json

import pytest
from coco_like import CATEGORIES, to_png, write_coco_like
from survey_rules import labels

from densevit.datasets import CocoInstanceDataset, PanopticADE20KDataset, PanopticDataset
from densevit.datasets.common import coco_instances
from densevit.datasets.common.checks import ClassesError, check_same_classes
from densevit.datasets.common.coco_json import AnnotationError, stuff_labels
from densevit.datasets.common.survey import survey
from densevit.datasets.common.task_checks import DataError
from densevit.datasets.segmentation.checks import SegmentationChecks
from densevit.datasets.segmentation.label_maps import LabelRule
from densevit.datasets.segmentation.panoptic_segments import read_segment_ids


@pytest.fixture
def folder(tmp_path):
    return write_coco_like(tmp_path / 'data')


def panoptic(folder, **options):
    return PanopticDataset(
        'panoptic.json', data_root=str(folder), data_prefix=dict(img='images', seg='segments'), **options)


def instances(folder, **options):
    return CocoInstanceDataset('instances.json', data_root=str(folder), data_prefix=dict(img='images'), **options)


def edit(folder, name, change):
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))


def test_panoptic__classes_in_the_order_of_the_file(folder):
    dataset = panoptic(folder)
    assert dataset.metainfo['classes'] == ('wall', 'cell', 'floor', 'rod', 'dust')
    assert stuff_labels(dataset.metainfo) == [0, 2, 4] and dataset.metainfo['category_ids'] == (7, 2, 31, 5, 11)
    info = dataset.get_data_info(1)
    assert info['img_id'] == 11 and info['img_path'].endswith('images/1.jpg')
    assert [segment['category'] for segment in info['segments_info']] == [0, 2, 1, 3, 1, 3, 1]
    assert [segment['is_thing'] for segment in info['segments_info']] == [False, False] + [True] * 5
    assert [segment['iscrowd'] for segment in info['segments_info']] == [0] * 6 + [1]


def test_panoptic__chosen_classes_in_an_order_of_ones_own(folder):
    dataset = panoptic(folder, metainfo=dict(classes=('rod', 'floor')))
    assert dataset.metainfo['classes'] == ('rod', 'floor') and stuff_labels(dataset.metainfo) == [1]
    found = [segment['category'] for segment in dataset.get_data_info(0)['segments_info']]
    assert found == [None, 1, None, 0, None, 0]
    with pytest.raises(AnnotationError, match="'rods', which is no category of .*: did you mean 'rod'"):
        panoptic(folder, metainfo=dict(classes=('rods', )))


def test_coco_and_ade_are_known_without_files():
    coco, ade = PanopticDataset.METAINFO, PanopticADE20KDataset.METAINFO
    assert len(coco['classes']) == 133 and coco['classes'][79:81] == ('toothbrush', 'banner')
    assert coco['classes'][-1] == 'rug-merged' and stuff_labels(coco) == list(range(80, 133))
    assert CocoInstanceDataset.METAINFO['classes'] == coco['classes'][:80]
    assert len(ade['classes']) == 150 and sum(ade['isthing']) == 100
    named = dict(zip(ade['classes'], ade['isthing'], strict=True))
    assert not named['wall'] and not named['sky'] and named['door'] and named['person'] and named['flag']


def test_coco_tiny__the_classes_of_its_files_are_those_that_are_known(shared_data):
    root = str(shared_data / 'coco_tiny')
    dataset = PanopticDataset('annotations/panoptic_val2017.json', data_root=root, data_prefix=dict(
        img='images/val2017', seg='annotations/panoptic_val2017'))
    assert dataset.metainfo['classes'] == PanopticDataset.METAINFO['classes'] and len(dataset) == 60
    assert dataset.metainfo['isthing'] == PanopticDataset.METAINFO['isthing']
    assert survey(dataset, 'val', labels()).looked_at == 60


def test_instances(folder):
    dataset = instances(folder)
    assert dataset.metainfo['classes'] == ('cell', 'rod') and len(dataset) == 6
    info = dataset.get_data_info(1)
    assert [instance['bbox_label'] for instance in info['instances']] == [0, 1, 0, 1, 0]
    assert [instance['ignore_flag'] for instance in info['instances']] == [0, 0, 0, 0, 1]
    assert [annotation['category_id'] for annotation in info['annotations']] == [2, 5, 2, 5, 2]
    only = instances(folder, metainfo=dict(classes=['rod']))
    assert [instance['bbox_label'] for instance in only.get_data_info(1)['instances']] == [0, 0]
    assert {annotation['category_id'] for annotation in only.get_data_info(1)['annotations']} == {5}


def test_images_with_nothing_to_learn_are_left_out_of_training_alone(folder):
    def empty_and_crowd(data):
        for annotation in data['annotations']:
            annotation['iscrowd'] = int(annotation['iscrowd'] or annotation['image_id'] == 10)
        data['annotations'] = [a for a in data['annotations'] if a['image_id'] != 12]

    edit(folder, 'instances.json', empty_and_crowd)
    learned = instances(folder, filter_cfg=dict(filter_empty_gt=True))
    assert [learned.get_data_info(index)['img_id'] for index in range(len(learned))] == [11, 13, 14, 15]
    assert len(instances(folder)) == len(instances(folder, filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 6
    with pytest.raises(ValueError, match="no 'min_size'"):
        instances(folder, filter_cfg=dict(min_size=3))


def first_segment(data):
    return data['annotations'][0]['segments_info'][0]


# Of panoptic files; tests/attack/test_annotations.py has those of objects.
BROKEN = [
    (lambda d: d.pop('categories'), "no list 'categories'"),
    (lambda d: d.update(categories=[]), 'no category'),
    (lambda d: d['categories'][0].update(name='cell'), 'two categories of one name or id'),
    (lambda d: d['categories'][0].pop('isthing'), "'wall' .* has no isthing"),
    (lambda d: d['annotations'].pop(), r'image 15 \(5.jpg\) .* has no annotations'),
    (lambda d: d['annotations'].append(d['annotations'][0]), 'has 2 annotations'),
    (lambda d: d['images'].pop(), 'annotation of image 15, which is not in its list of images'),
    (lambda d: d['annotations'][0].pop('file_name'), 'lacks file_name or segments_info'),
    (lambda d: d['images'][0].pop('width'), 'image 10 .* has no width'),
    (lambda d: first_segment(d).update(category_id=99), r'segment 70000 .* has category_id 99, which'),
    (lambda d: first_segment(d).update(id=300), 'segment id 300 .* occurs twice'),
    (lambda d: first_segment(d).update(id=0), 'segment id 0 .* pixels without annotation'),
]


def test_a_wrong_file__one_line_with_the_place(folder):
    content = (folder / 'panoptic.json').read_text()
    for change, words in BROKEN:
        (folder / 'panoptic.json').write_text(content)
        edit(folder, 'panoptic.json', change)
        with pytest.raises(AnnotationError, match=words) as caught:
            panoptic(folder)
        assert '\n' not in str(caught.value)


def test_boxes_alone__as_mmdetection_reads_them(folder):
    from mmdet.datasets import CocoDataset
    edit(folder, 'instances.json', lambda d: [each.update(id=index) for index, each in enumerate(d['annotations'], 1)])
    theirs = CocoDataset(ann_file='instances.json', data_root=str(folder), data_prefix=dict(img='images'),
                         metainfo=dict(classes=('cell', 'rod')))
    edit(folder, 'instances.json', lambda d: [each.pop('segmentation') for each in d['annotations']])
    with pytest.raises(AnnotationError, match='with_masks=False'):
        instances(folder)
    ours = instances(folder, with_masks=False)
    for index in range(6):
        expected = theirs.get_data_info(index)['instances']
        assert ours.get_data_info(index)['instances'] == [
            {key: value for key, value in instance.items() if key != 'mask'} for instance in expected]
        assert not any('segmentation' in each for each in ours.get_data_info(index)['annotations'])


def test_boxes_alone__what_is_no_box(folder):
    def change(**values):
        edit(folder, 'instances.json', lambda d: d['annotations'][3].update(values))

    before = instances(folder, with_masks=False)
    change(bbox=[1, 2, 3])  # that of its mask takes its place
    assert instances(folder, with_masks=False).get_data_info(0)['instances'] == before.get_data_info(0)['instances']
    edit(folder, 'instances.json', lambda d: d['annotations'][3].pop('segmentation'))
    for broken in ([1, 2, 3], None, 'box', [1, 2, float('nan'), 4]):
        change(bbox=broken)
        with pytest.raises(AnnotationError, match=r'annotation 3 of image 10 .*write \[x, y, width, height\]'):
            instances(folder, with_masks=False)
    for empty in ([5, 5, 0, 9], [500, 5, 9, 9], [5, 5, -3, 9]):
        change(bbox=empty)
        dataset = instances(folder, with_masks=False)
        assert len(dataset.get_data_info(0)['instances']) == 3 and dataset.remarks == {coco_instances.OUTSIDE: 1}


def test_not_json(folder):
    (folder / 'panoptic.json').write_text('{"images": [')
    with pytest.raises(AnnotationError, match='is not a JSON file'):
        panoptic(folder)


def test_an_instance_file_in_the_place_of_a_panoptic_one(folder):
    (folder / 'panoptic.json').write_text((folder / 'instances.json').read_text())
    with pytest.raises(AnnotationError, match='CocoInstanceDataset'):
        panoptic(folder)


def test_a_png_unlike_its_annotation(folder):
    path = folder / 'segments' / '5.png'
    ids = read_segment_ids(str(path))
    ids[ids == 300] = 301
    to_png(ids, path)
    with pytest.raises(DataError, match='has pixels of segment 301, which its annotation does not list'):
        survey(panoptic(folder), 'train', labels())


def test_a_png_of_another_size(folder):
    path = folder / 'segments' / '0.png'
    to_png(read_segment_ids(str(path))[:, :-4], path)
    with pytest.raises(DataError, match='0.jpg is read with 64x48 pixels, but .*0.png has 60x48'):
        survey(panoptic(folder), 'train', labels())


def test_stuff_of_the_model_and_of_the_data(folder):
    dataset = panoptic(folder)
    SegmentationChecks(LabelRule(), stuff_classes=frozenset((0, 2, 4))).check_dataset(dataset, 'train')
    with pytest.raises(ClassesError, match=r'class 1 \(cell\) of the train data is a thing, but stuff in the model'):
        SegmentationChecks(LabelRule(), stuff_classes=(0, 1, 2, 4)).check_dataset(dataset, 'train')
    with pytest.raises(ClassesError, match=r'class 4 \(dust\) .* stuff, but a thing .*stuff_classes=\[0, 2, 4\]'):
        SegmentationChecks(LabelRule(), stuff_classes=(0, 2)).check_dataset(dataset, 'train')


def test_training_and_validation_of_other_orders(folder):
    dataset = panoptic(folder)
    check_same_classes(dataset, dataset, 'val', 'train')
    names = [category['name'] for category in CATEGORIES][::-1]
    other = panoptic(folder, metainfo=dict(classes=names))
    with pytest.raises(ClassesError, match="class 0 is 'dust' in the val data and 'wall' in the train data"):
        check_same_classes(other, dataset, 'val', 'train')

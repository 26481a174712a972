"""Malformed annotations: refused in one line with place and remedy, or dropped with a count; pycocotools sees none."""
import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from coco_like import write_coco_like
from data_faults import one_line, truncate, try_each, turn
from mmdet.datasets import CocoDataset
from PIL import Image
from survey_rules import labels

from densevit.datasets import CocoInstanceDataset, LoadPanopticSegments, PanopticDataset
from densevit.datasets.common import coco_instances
from densevit.datasets.common.coco_json import AnnotationError, EmptyDatasetError
from densevit.datasets.common.coco_masks import compressed, inside, mask_box, near
from densevit.datasets.common.survey import survey
from densevit.datasets.common.task_checks import DataError
from densevit.evaluation import InstanceMetric, PanopticMetric
from densevit.registry import TRANSFORMS

NAN, INF = float('nan'), float('inf')
HEIGHT, WIDTH = 48, 64  # of the images
CUT = 'Pf0'  # the beginning of a compressed text: its last digit announces another


@pytest.fixture(scope='module')
def clean(tmp_path_factory):
    return write_coco_like(tmp_path_factory.mktemp('clean') / 'data')


@pytest.fixture
def data(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / 'data')


def edit(folder, name: str, change: Callable[[dict], Any]) -> None:
    content = json.loads((folder / f'{name}.json').read_text())
    change(content)
    (folder / f'{name}.json').write_text(json.dumps(content))


def instances(folder, **options):
    # Serializing collects garbage, which takes ten times as long as the rest.
    return CocoInstanceDataset('instances.json', data_root=str(folder), data_prefix=dict(img='images'),
                               serialize_data=False, **options)


def panoptic(folder, **options):
    return PanopticDataset('panoptic.json', data_root=str(folder), data_prefix=dict(img='images', seg='segments'),
                           serialize_data=False, **options)


def annotation(**values: Any) -> Callable[[dict], None]:
    """Change annotation 3; None takes a key out."""
    def change(content: dict) -> None:
        for key, value in values.items():
            if value is None:
                content['annotations'][3].pop(key)
            else:
                content['annotations'][3][key] = value
    return change


def mask(value: Any) -> Callable[[dict], None]:
    return annotation(segmentation=value)


def rle(counts: Any, size: Any = (HEIGHT, WIDTH)) -> Callable[[dict], None]:
    return mask(dict(size=size, counts=counts))


def zigzag() -> list[float]:
    return [value for index in range(200_000) for value in (63 * (index % 2), index % 48)]


BROKEN_ANNOTATIONS = dict(
    coordinate_far=mask([[1, 1, 1e9, 1, 5, 5]]), coordinate_near_2_to_31=mask([[1, 1, 1, 2147483000., 5, 5]]),
    coordinate_negative=mask([[1, 1, -1e6, 1, 5, 5]]), coordinate_inf=mask([[1, 1, INF, 1, 5, 5]]),
    coordinate_nan=mask([[1, 1, NAN, 1, 5, 5]]), coordinate_huge=mask([[1, 1, 10**400, 1, 5, 5]]),
    coordinate_text=mask([[1, 1, '9', 1, 5, 5]]), coordinate_none=mask([[1, 1, None, 1, 5, 5]]),
    odd_length=mask([[1, 1, 9, 1, 5, 5, 7]]), one_odd_of_two=mask([[1, 1, 9, 1, 5, 5], [1, 1, 9, 1, 5, 5, 7]]),
    flat_polygon=mask([1, 1, 9, 1, 5, 5]), points_as_pairs=mask([[[1, 1], [9, 1], [5, 5]]]), text_mask=mask('polygon'),
    number_mask=mask(7), zigzag=mask([zigzag()]), empty_mask=mask([]), no_mask=annotation(segmentation=None),
    rle_without_counts=mask(dict(size=[HEIGHT, WIDTH])), rle_without_size=mask(dict(counts=[HEIGHT * WIDTH])),
    rle_short=rle([10, 20]), rle_long=rle([10, HEIGHT * WIDTH]), rle_negative=rle([HEIGHT * WIDTH + 9, -9]),
    rle_fractions=rle([.5, HEIGHT * WIDTH - .5]), rle_nested=rle([[10], [20]]), rle_none=rle(None), rle_number=rle(5),
    rle_empty=rle([]), rle_empty_text=rle(''), rle_cut_text=rle(CUT), rle_strange_text=rle('\x00\x7f\u00ff'),
    rle_long_number=rle('o' * 40 + '0'), rle_huge=rle([2**40, 5]), rle_sum_by_overflow=rle([2**32, HEIGHT * WIDTH]),
    rle_of_another_image=rle([5, 5], (2, 5)), rle_size_turned=rle([HEIGHT * WIDTH], (WIDTH, HEIGHT)),
    rle_size_text=rle([HEIGHT * WIDTH], 'big'), category_unknown=annotation(category_id=99),
    category_absent=annotation(category_id=None), category_list=annotation(category_id=[2]),
    crowd_text=annotation(iscrowd='no'))


def test_a_broken_annotation_is_refused_with_file_and_id(clean, tmp_path):
    def check(data, change):
        edit(data, 'instances', change)
        with pytest.raises(AnnotationError) as caught:
            instances(data)
        assert 'annotation 3 of image 10 (0.jpg)' in one_line(caught) and 'instances.json' in one_line(caught)

    try_each(BROKEN_ANNOTATIONS, clean, tmp_path, check)


def image(**values: Any) -> Callable[[dict], None]:
    return lambda content: content['images'][1].update(values)


BROKEN_FILES = {
    'an image without an id': (lambda d: d['images'][1].pop('id'), 'image number 1'),
    'two images of one id': (image(id=10), '0.jpg and 1.jpg'),
    'an id that is a list': (image(id=[1]), 'image number 1'),
    'an image that is a number': (lambda d: d['images'].__setitem__(1, 5), 'image number 1'),
    'no height': (lambda d: d['images'][1].pop('height'), 'image 11'),
    'a height of 0': (image(height=0), 'image 11 (1.jpg)'),
    'a height in text': (image(height='48'), 'image 11 (1.jpg)'),
    'a height that is no number': (image(height=NAN), 'image 11 (1.jpg)'),
    'a width beyond all images': (image(width=2**31), 'image 11 (1.jpg)'),
    'no file name': (lambda d: d['images'][1].pop('file_name'), 'image 11'),
    'a file name that is a number': (image(file_name=3), 'image 11'),
    'an annotation of no image': (lambda d: d['annotations'][3].pop('image_id'), 'annotation number 3'),
    'an annotation of an unknown image': (annotation(image_id=99), 'image 99'),
    'an annotation of a list of images': (annotation(image_id=[10]), 'annotation number 3'),
    'an annotation that is a number': (lambda d: d['annotations'].__setitem__(3, 5), 'annotation number 3'),
    'a category without a name': (lambda d: d['categories'][1].pop('name'), 'category number 1'),
    'a category without an id': (lambda d: d['categories'][1].pop('id'), 'category number 1'),
    'a category named by a number': (lambda d: d['categories'][1].update(name=7), 'category number 1'),
    'a category that is a text': (lambda d: d['categories'].__setitem__(1, 'rod'), 'category number 1'),
    'annotations that are no list': (lambda d: d.update(annotations={}), "'annotations'"),
    'no annotations in training': (lambda d: d.pop('annotations'), "'annotations'"),
    'no images': (lambda d: d['images'].clear() or d['annotations'].clear(), 'no image'),
}


def test_a_broken_file_is_refused_with_the_place(clean, tmp_path):
    def check(data, fault):
        change, place = fault
        edit(data, 'instances', change)
        with pytest.raises((AnnotationError, EmptyDatasetError)) as caught:
            instances(data)
        assert place in one_line(caught) and 'instances.json' in one_line(caught)

    try_each(BROKEN_FILES, clean, tmp_path, check)


def test_what_is_no_json_of_cocos_form_is_refused(data):
    for content in ('', '{"images": [', '[]', '5', '[' * 100_000, '\x00\x01'):
        (data / 'instances.json').write_text(content)
        with pytest.raises(AnnotationError, match='instances.json'):
            instances(data)


SQUARE = [10., 10., 30., 10., 30., 30., 10., 30.]
MENDED = dict(
    two_points=(mask([[1, 1, 9, 9]]), coco_instances.EMPTY, 3),
    a_box_as_polygon=(mask([[1, 1, 9, 9], []]), coco_instances.EMPTY, 3),
    rle_without_a_pixel=(rle([HEIGHT * WIDTH]), coco_instances.EMPTY, 3),
    one_of_two_degenerate=(annotation(segmentation=[SQUARE, [1, 1, 9, 9]], bbox=None), coco_instances.SHORT, 4),
    box_of_zeros=(annotation(bbox=[0, 0, 0, 0]), coco_instances.BOXES, 4),
    box_nan=(annotation(bbox=[NAN, 1, 2, 3]), coco_instances.BOXES, 4),
    box_inf=(annotation(bbox=[1, 1, INF, 3]), coco_instances.BOXES, 4),
    box_of_three=(annotation(bbox=[1, 2, 3]), coco_instances.BOXES, 4),
    box_text=(annotation(bbox='1234'), coco_instances.BOXES, 4),
    box_empty=(annotation(bbox=[]), coco_instances.BOXES, 4),
    box_elsewhere=(annotation(bbox=[500, 500, 9, 9]), coco_instances.BOXES, 4),
    box_absent=(annotation(bbox=None), None, 4), area_nan=(annotation(area=NAN), None, 4),
    area_text=(annotation(area='big'), None, 4), area_negative=(annotation(area=-4), None, 4))


def test_training_and_metric_see_the_same_of_what_is_mended(clean, tmp_path):
    try_each(MENDED, clean, tmp_path, see_the_same)


def see_the_same(data, case) -> None:
    change, remark, left = case
    edit(data, 'instances', change)
    dataset = instances(data)
    assert dataset.remarks == ({remark: 1} if remark else {})
    info = dataset.get_data_info(0)
    results = TRANSFORMS.build(dict(type='mmdet.LoadAnnotations', with_mask=True))(
        dict(info, ori_shape=(HEIGHT, WIDTH)))
    boxes = results['gt_bboxes'].tensor
    assert len(results['gt_masks']) == len(info['annotations']) == left and torch.isfinite(boxes).all()
    masks = results['gt_masks'].to_ndarray()
    for box, pixels in zip(boxes.tolist(), masks, strict=True):
        columns = np.flatnonzero(pixels.any(0))
        assert box[0] - 2.1 <= columns[0] and columns[-1] <= box[2] + 2.1 and not results['gt_ignore_flags'].any()
    assert perfect_ap(dataset) == pytest.approx(100.)


def perfect_ap(dataset) -> float:
    """AP of the annotations as predictions."""
    metric = InstanceMetric()
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        own = [each for each in info['annotations'] if not each.get('iscrowd')]
        found = dict(labels=[dataset.metainfo['category_ids'].index(each['category_id']) for each in own],
                     scores=[.9] * len(own), masks=[compressed(each['segmentation'], info) for each in own])
        metric.process({}, [dict(info, ori_shape=(info['height'], info['width']), pred_instances=found)])
    return metric.evaluate(len(dataset))['AP']


def test_what_is_thinner_than_a_pixel_is_left_out_of_training_and_counted(data):
    edit(data, 'instances', annotation(segmentation=[[5, 5, 5.2, 5, 5.2, 40, 5, 40]], bbox=[5, 5, .2, 35]))
    dataset = instances(data)
    assert dataset.remarks == {coco_instances.TINY: 1}
    info = dataset.get_data_info(0)
    assert len(info['instances']) == 3 and len(info['annotations']) == 4


def test_the_metric_alone_refuses_what_pycocotools_must_not_see(data):
    dataset = instances(data)
    info = dataset.get_data_info(0)
    metric = InstanceMetric()
    metric.dataset_meta = dataset.metainfo
    for broken in ([[1, 1, 1e9, 1, 5, 5]], dict(size=[HEIGHT, WIDTH], counts=[1, 2]), [[1, 1, 9, 9]]):
        metric.results.clear()
        changed = [dict(info['annotations'][0], id=77, segmentation=broken)]
        metric.process({}, [dict(info, annotations=changed, ori_shape=(HEIGHT, WIDTH), pred_instances=dict(
            labels=[], scores=[], masks=[]))])
        with pytest.raises(AnnotationError, match='annotation 77 of image 10'):
            metric.compute_metrics(metric.results)


def test_nothing_is_left_to_learn_from__the_reason_is_said(data):
    edit(data, 'instances', lambda d: [each.update(segmentation=[[1, 1, 9, 9]]) for each in d['annotations']])
    with pytest.raises(EmptyDatasetError, match='leaves none of the 6 images of .*fewer than three points') as caught:
        instances(data, filter_cfg=dict(filter_empty_gt=True))
    one_line(caught)
    with pytest.raises(EmptyDatasetError, match='no image of the train data has an .*three points.*metainfo.classes'):
        survey(instances(data), 'train', labels(2))


@pytest.mark.parametrize('build', [instances, panoptic])
def test_a_file_of_images_alone_is_for_tests(build, data):
    for name in ('instances', 'panoptic'):
        edit(data, name, lambda d: d.pop('annotations'))
    dataset = build(data, test_mode=True)
    found = survey(dataset, 'test', labels(2))
    assert found.images == found.unlabelled == 6
    metric = InstanceMetric() if build is instances else PanopticMetric()
    metric.dataset_meta = dataset.metainfo
    predicted = dict(pred_instances=dict(labels=[0], scores=[.9], masks=torch.ones(1, HEIGHT, WIDTH)),
                     pred_panoptic_seg=dict(sem_seg=torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)))
    metric.process({}, [dict(dataset.get_data_info(0), ori_shape=(HEIGHT, WIDTH), **predicted)])
    assert metric.evaluate(1) == {}  # without a truth there is no figure
    with pytest.raises(EmptyDatasetError, match='no image of the val data has an annotation.*val_cfg to None'):
        survey(dataset, 'val', labels(2))


def segment(**values: Any) -> Callable[[dict], None]:
    return lambda content: content['annotations'][0]['segments_info'][2].update(values)


BROKEN_PANOPTIC = dict(
    id_text=segment(id='1000'), id_fraction=segment(id=1000.5), id_negative=segment(id=-5), id_too_large=segment(
        id=256**3), id_absent=lambda d: d['annotations'][0]['segments_info'][2].pop('id'),
    category_list=segment(category_id=[2]), category_absent=segment(category_id=None), crowd_text=segment(iscrowd='no'),
    segments_number=lambda d: d['annotations'][0].update(segments_info=5),
    segment_number=lambda d: d['annotations'][0].update(segments_info=[5]),
    file_name_number=lambda d: d['annotations'][0].update(file_name=5))


def test_a_broken_panoptic_annotation_is_refused_with_file_and_id(clean, tmp_path):
    def check(data, change):
        edit(data, 'panoptic', change)
        with pytest.raises(AnnotationError) as caught:
            panoptic(data)
        assert 'image 10 (0.jpg)' in one_line(caught) and 'panoptic.json' in one_line(caught)

    try_each(BROKEN_PANOPTIC, clean, tmp_path, check)


def text_at(name: str) -> Callable:
    return lambda folder: (folder / name).write_text('no picture')


BROKEN_PICTURES = {
    'segments in grey': (lambda f: Image.open(f / 'segments/2.png').convert('L').save(f / 'segments/2.png'),
                                '2.png is no RGB picture'),
    'segments cut': (lambda f: truncate(f / 'segments/2.png'), '2.png cannot be read'),
    'segments that are a text': (text_at('segments/2.png'), '2.png cannot be read'),
    'segments that are empty': (lambda f: (f / 'segments/2.png').write_bytes(b''), '2.png cannot be read'),
    'image that is a text': (text_at('images/2.jpg'), '2.jpg cannot be read'),
    'image of another size': (lambda f: Image.new('RGB', (60, 48)).save(f / 'images/2.jpg'), '2.jpg is read with 60x'),
    'image turned by EXIF': (lambda f: turn(f / 'images/2.jpg', 6), '2.jpg is read with 48x64 pixels .turned by its E'),
}


def test_a_broken_picture_beside_coco_files_is_refused(clean, tmp_path):
    def check(data, fault):
        damage, words = fault
        damage(data)
        for build, split in ((panoptic, 'train'), (panoptic, 'val'), (instances, 'val')):
            if build is panoptic or '.jpg' in words:
                with pytest.raises(DataError, match=words) as caught:
                    survey(build(data), split, labels(5))
                one_line(caught)

    try_each(BROKEN_PICTURES, clean, tmp_path, check)


def test_a_broken_png_of_segments_is_named_by_the_loader_too(data):
    info = panoptic(data).get_data_info(2)
    (data / 'segments/2.png').write_text('no picture')
    with pytest.raises(AnnotationError, match='2.png cannot be read'):
        LoadPanopticSegments()(dict(info, img_shape=(HEIGHT, WIDTH)))


def test_json_of_another_size__obeyed(data):
    edit(data, 'instances', image(height=24, width=32))
    edit(data, 'instances', lambda d: d.update(annotations=[a for a in d['annotations'] if a['image_id'] != 11]))
    with pytest.raises(DataError, match='1.jpg is read with 64x48 .* its annotation file says 32x24: .*correct'):
        survey(instances(data), 'val', labels(2))
    edit(data, 'instances', image(height=48, width=64))
    assert survey(instances(data), 'val', labels(2)).unlabelled == 1


def test_a_polygon_that_leaves_the_image_keeps_its_box():
    image = dict(height=40, width=40)
    assert mask_box([[-20, 5, 9, 5, 9, 14, -20, 14]], image) == [0, 5, 9, 9]
    for box in ([0, 5, 9, 9], [-20, 5, 29, 9]):  # of the part in the image, or of all
        assert near(inside(box, image), [0, 5, 9, 9])


@pytest.mark.parametrize('bad', [dict(bbox=[1, 1, NAN, 9]), dict(segmentation=[[1, 1, 1e9, 1, 5, 5]])])
def test_mmdetections_dataset_is_looked_at_as_well(bad, data):
    edit(data, 'instances', lambda d: [each.update(id=each['id'] + 1) for each in d['annotations']])
    edit(data, 'instances', annotation(**bad))
    stock = CocoDataset(ann_file='instances.json', data_root=str(data), data_prefix=dict(img='images'),
                        metainfo=dict(classes=('cell', 'rod')), serialize_data=False)
    if 'bbox' not in bad or len(stock.get_data_info(0)['instances']) == 4:  # mmdetection may drop the box itself
        with pytest.raises(DataError, match='object number 3 of image 10 .*0.jpg'):
            survey(stock, 'train', labels(2))

"""Panoptic annotations in a pipeline, and random transforms that leave something to learn."""
from copy import deepcopy

import numpy as np
import pytest
from coco_like import write_coco_like
from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import TRANSFORMS, DefaultScope

import densevit.registry  # noqa: F401
from densevit.datasets import (
    CocoInstanceDataset,
    LoadPanopticSegments,
    PackWithTruth,
    PadInput,
    PanopticDataset,
    ResizeSegments,
    ScaleJitterCrop,
    UntilSegments,
)
from densevit.datasets.common.coco_json import AnnotationError
from densevit.datasets.segmentation.panoptic_segments import read_segment_ids

PolygonMasks = pytest.importorskip('mmdet.structures.mask', reason='needs mmdet').PolygonMasks
CROP = (32, 40)
RANDOM = [
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='RandomResize', scale=CROP, ratio_range=(.1, 2.), resize_type='densevit.ResizeSegments', keep_ratio=True),
    dict(type='mmdet.Pad', size=CROP[::-1], pad_val=dict(img=0, masks=0, seg=255)),
    dict(type='mmdet.RandomCrop', crop_size=CROP[::-1], allow_negative_crop=True)]


@pytest.fixture(autouse=True)
def in_mmseg():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def panoptic(tmp_path):
    return PanopticDataset('panoptic.json', data_root=str(write_coco_like(tmp_path / 'data')), data_prefix=dict(
        img='images', seg='segments'))


def loaded(dataset, index):
    return Compose([dict(type='LoadImageFromFile'), dict(type='densevit.LoadPanopticSegments')])(
        dataset.get_data_info(index))


def test_load__crowds_and_void(panoptic):
    results = loaded(panoptic, 1)
    ids = read_segment_ids(results['seg_map_path'])
    crowd = ids == 1000 + 300 * 4
    labels = results['gt_seg_map']
    assert crowd.any() and (labels[crowd] == 255).all() and (labels[ids == 0] == 255).all()
    assert (labels[ids == 70000] == 0).all() and (labels[ids == 300] == 2).all() and (labels[ids == 1000] == 1).all()
    assert results['gt_bboxes_labels'].tolist() == [1, 3, 1, 3]
    for mask, id_, box in zip(results['gt_masks'].masks, (1000, 1300, 1600, 1900), results['gt_bboxes'], strict=True):
        assert (mask.astype(bool) == (ids == id_)).all()
        y, x = np.nonzero(ids == id_)
        assert box.tensor.flatten().tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_load__wrong_files(panoptic):
    results = Compose([dict(type='LoadImageFromFile')])(panoptic.get_data_info(0))
    with pytest.raises(AnnotationError, match='64x48 pixels, but its image .* has 50x48'):
        LoadPanopticSegments()(dict(results, img_shape=(48, 50)))
    segments = results['segments_info']
    with pytest.raises(AnnotationError, match='pixels of segment 300'):
        LoadPanopticSegments()(dict(results, segments_info=segments[:1] + segments[2:]))
    assert LoadPanopticSegments()(dict(img=0)) == dict(img=0)  # a picture without annotations


def test_load__a_segment_that_others_hide_is_none(panoptic):
    results = Compose([dict(type='LoadImageFromFile')])(panoptic.get_data_info(0))
    seen = LoadPanopticSegments()(dict(results))
    hidden = [dict(segment, id=4 + index) for index, segment in enumerate(results['segments_info'])]
    both = LoadPanopticSegments()(dict(results, segments_info=[*hidden, *results['segments_info']]))
    assert len(both['gt_masks']) == len(both['gt_bboxes']) == len(seen['gt_masks'])
    np.testing.assert_array_equal(both['gt_seg_map'], seen['gt_seg_map'])


@pytest.mark.parametrize('keep_ratio', [True, False])
def test_resize__things_stay_on_the_label_map(panoptic, keep_ratio):
    for options in (dict(scale=(49, 37)), dict(scale=(31, 200)), dict(scale_factor=1.3)):
        resized = ResizeSegments(keep_ratio=keep_ratio, **options)(loaded(panoptic, 1))
        assert resized['gt_masks'].masks.shape[1:] == resized['gt_seg_map'].shape == resized['img'].shape[:2]
        for label in set(resized['gt_bboxes_labels'].tolist()):
            things = resized['gt_masks'].masks[resized['gt_bboxes_labels'] == label].any(0)
            np.testing.assert_array_equal(things, resized['gt_seg_map'] == label)


def test_resize__polygons_and_no_instances(panoptic):
    results = loaded(panoptic, 1)
    square = PolygonMasks([[np.array([4., 4, 12, 4, 12, 12, 4, 12])]], *results['img_shape'])
    results = dict(results, gt_masks=square, gt_bboxes=results['gt_bboxes'][:1])
    half = ResizeSegments(scale_factor=.5)(results)
    assert half['gt_masks'].masks[0][0].tolist() == [2, 2, 6, 2, 6, 6, 2, 6]
    none = loaded(panoptic, 1)
    none = dict(none, gt_masks=none['gt_masks'][[]], gt_bboxes=none['gt_bboxes'][[]])
    assert ResizeSegments(scale=(20, 30))(none)['gt_masks'].masks.shape == (0, 30, 20)


def test_until_segments__what_is_left_is_seen_and_fits(panoptic):
    """Masks, boxes, labels and the label map stay together through flip, scale, pad and crop."""
    transform = UntilSegments(RANDOM)
    np.random.seed(0)
    scales = set()
    for index in range(40):
        before = loaded(panoptic, index % 6)
        count = len(before['gt_masks'])
        results = transform(before)
        assert len(before['gt_masks']) == count  # a draw leaves what it began with as it is
        assert results['img'].shape == (*CROP, 3) and results['gt_seg_map'].shape == CROP
        masks = results['gt_masks'].masks.astype(bool)
        assert masks.reshape(len(masks), -1).any(1).all()
        assert len(masks) == len(results['gt_bboxes']) == len(results['gt_bboxes_labels'])
        for mask, label in zip(masks, results['gt_bboxes_labels'], strict=True):
            # Nearest neighbours of Pillow and of OpenCV differ by up to a pixel at the border.
            assert (results['gt_seg_map'][mask] == label).mean() > .7 or mask.sum() < 60
        assert (results['gt_seg_map'] != 255).any()
        scales.add(round(float(results['scale'][0])))
    assert min(scales) < 15 and max(scales) > 60


@TRANSFORMS.register_module(name='CropsOfTest', force=True)
class CropsOfTest(BaseTransform):
    """Crops that miss everything until the third draw."""
    draws = 0

    def transform(self, results):
        CropsOfTest.draws += 1
        if CropsOfTest.draws % 3:
            results['gt_masks'].masks[:] = 0
            results['gt_seg_map'][:] = 255
        return results


@pytest.mark.parametrize('tries, expected', [(3, 3), (2, 2)])
def test_until_segments__draws_again(panoptic, tries, expected):
    CropsOfTest.draws = 0
    results = UntilSegments([dict(type='mmengine.CropsOfTest')], tries=tries)(loaded(panoptic, 0))
    assert CropsOfTest.draws == expected and (results is None) == (tries == 2)


def test_until_segments__polygons():
    polygons = [[np.array([1., 1, 9, 1, 9, 9])], [np.array([40., 40, 41, 40, 41, 40])]]
    results = UntilSegments([])(dict(
        img=np.zeros((20, 20, 3)), gt_masks=PolygonMasks(polygons, 20, 20), gt_bboxes=np.zeros((2, 4)),
        gt_bboxes_labels=np.array([3, 4]), gt_ignore_flags=np.zeros(2, bool)))
    assert results['gt_bboxes_labels'].tolist() == [3] and len(results['gt_masks']) == 1


def test_until_segments__instances_without_a_label_map(tmp_path):
    """A crowd alone is nothing to learn from."""
    dataset = CocoInstanceDataset('instances.json', data_root=str(write_coco_like(tmp_path / 'data')), data_prefix=dict(
        img='images'))
    load = Compose([dict(type='LoadImageFromFile'), dict(type='mmdet.LoadAnnotations', with_mask=True)])
    results = UntilSegments(RANDOM)(load(dataset.get_data_info(1)))
    assert len(results['gt_masks']) and 'gt_seg_map' not in results
    crowds = load(dataset.get_data_info(1))
    crowds['gt_ignore_flags'][:] = True
    assert UntilSegments([], tries=2)(crowds) is None


def test_pad_input():
    image = np.full((20, 30, 3), 200, np.uint8)
    results = PadInput((32, 32))(dict(img=image, img_shape=(20, 30)))
    assert results['img'].shape == (32, 32, 3) and results['img_shape'] == (20, 30)
    assert (results['img'][:20, :30] == 200).all() and not results['img'][20:].any()
    assert PadInput((8, 8))(dict(img=image))['img'].shape == (20, 30, 3)


# What composites stand for, written out: (config, the transforms, what they are given).
SEGMENTS = [
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='RandomResize', scale=(40, 32), ratio_range=(.1, 2.), resize_type='densevit.ResizeSegments',
         keep_ratio=True),
    dict(type='mmdet.Pad', size=(40, 32), pad_val=dict(img=128, masks=0, seg=255)),
    dict(type='mmdet.RandomCrop', crop_size=(40, 32), allow_negative_crop=True)]
LABEL_MAP = [
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='RandomResize', scale=(32, 32), ratio_range=(.5, 2.), resize_type='mmseg.Resize', keep_ratio=True,
         backend='pillow'),
    dict(type='Pad', size=(32, 32), pad_val=dict(img=0, seg=255)),
    dict(type='mmseg.RandomCrop', crop_size=(32, 32))]
MMSEG = [
    dict(type='RandomResize', scale=(128, 32), ratio_range=(.5, 2.), resize_type='mmseg.Resize', keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(32, 32), cat_max_ratio=.75),
    dict(type='mmseg.RandomFlip', prob=.5), dict(type='mmseg.PhotoMetricDistortion')]
SHORTEST = [
    dict(type='RandomChoiceResize', scales=[(128, int(share * .1 * 32)) for share in range(5, 21)],
         resize_type='mmseg.Resize', keep_ratio=True, backend='pillow'),
    dict(type='mmseg.RandomCrop', crop_size=(32, 32)), dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.RandomFlip', prob=.5), dict(type='Pad', size=(32, 32), pad_val=dict(img=128, seg=255))]
KMAX = [
    dict(type='RandomResize', scale=(32, 32), ratio_range=(.2, 2.), resize_type='densevit.ResizeSegments',
         keep_ratio=True),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmdet.RandomCrop', crop_size=(32, 32), allow_negative_crop=True), dict(type='mmdet.RandomFlip', prob=.5)]
WHOLE = [
    dict(type='mmdet.Resize', scale=(40, 32), keep_ratio=True, backend='pillow'),
    dict(type='densevit.PadInput', size=(32, 40))]
COMPOSITES = {
    'segments': (dict(type='ScaleJitterCrop', size=(32, 40), pad=128), [
        dict(type='densevit.UntilSegments', transforms=SEGMENTS)]),
    'label map': (dict(type='ScaleJitterCrop', size=32, scales=(.5, 2.), annotations='label_map'), [
        dict(type='densevit.UntilSegments', transforms=LABEL_MAP)]),
    'mmseg': (dict(type='ScaleCropFlip', size=32, scale=(128, 32)), MMSEG),
    'shortest side': (dict(type='ShortestSideCrop', size=32, longest=128), SHORTEST),
    'kmax': (dict(type='ScaleColourCropFlip', size=32, scales=(.2, 2.)), [
        dict(type='densevit.UntilSegments', transforms=KMAX)]),
    'whole': (dict(type='ResizeAndPad', size=(32, 40)), WHOLE),
}


@pytest.mark.parametrize('name', COMPOSITES)
def test_composites__same_pixels_as_what_they_stand_for(name, panoptic):
    config, transforms = COMPOSITES[name]
    composite = TRANSFORMS.build(dict(config, type=f"densevit.{config['type']}"))
    for seed in range(6):
        results = loaded(panoptic, seed)
        if name in ('label map', 'mmseg', 'shortest side'):
            results = {key: results[key] for key in ('img', 'img_shape', 'ori_shape', 'gt_seg_map')}
            results['seg_fields'] = ['gt_seg_map']
        drawn = []
        for transform in (composite, Compose(transforms)):
            np.random.seed(seed)
            drawn.append(transform(deepcopy(results)))
        ours, expected = drawn
        assert ours.keys() == expected.keys() and ours['img_shape'] == expected['img_shape']
        np.testing.assert_array_equal(ours['img'], expected['img'])
        np.testing.assert_array_equal(ours['gt_seg_map'], expected['gt_seg_map'])
        if 'gt_masks' in ours:
            np.testing.assert_array_equal(ours['gt_masks'].masks, expected['gt_masks'].masks)
            assert ours['gt_bboxes'].tensor.equal(expected['gt_bboxes'].tensor)


def test_composites__refuse_other_annotations():
    with pytest.raises(ValueError, match="'segments' or 'label_map'"):
        ScaleJitterCrop(32, annotations='boxes')


def test_until_segments__boxes_alone(tmp_path):
    """What is left of each box is in the crop, with its label."""
    dataset = CocoInstanceDataset('instances.json', data_root=str(write_coco_like(tmp_path / 'data')), with_masks=False,
                                  data_prefix=dict(img='images'))
    load = Compose([dict(type='LoadImageFromFile'), dict(type='mmdet.LoadAnnotations')])
    crop = ScaleJitterCrop((24, 30))
    np.random.seed(0)
    counts = set()
    for index in range(12):
        results = crop(load(dataset.get_data_info(index % 6)))
        boxes = results['gt_bboxes'].tensor.numpy()
        assert results['img'].shape == (24, 30, 3) and len(boxes) == len(results['gt_bboxes_labels'])
        assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min() >= 0 and (boxes <= (30, 24, 30, 24)).all()
        counts.add(len(boxes))
    assert len(counts) > 1 and 0 not in counts


def test_pack_with_truth__what_the_sample_has(panoptic):
    results = dict(loaded(panoptic, 0), scale_factor=(1., 1.))
    assert PackWithTruth()(results)['data_samples'].metainfo.keys() == {
        'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'seg_map_path', 'segments_info'}
    results['annotations'] = [dict(id=3)]
    assert PackWithTruth()(results)['data_samples'].annotations == [dict(id=3)]

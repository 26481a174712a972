"""Panoptic annotations in a pipeline, and random transforms that leave something to learn."""
import numpy as np
import pytest
from coco_like import write_coco_like
from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import TRANSFORMS, DefaultScope

import densevit.registry  # noqa: F401
from densevit.datasets import (
    CocoInstanceDataset,
    LoadPanopticSegments,
    PadInput,
    PanopticDataset,
    ResizeSegments,
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


@pytest.mark.parametrize('options', [dict(scale=(49, 37)), dict(scale=(31, 200)), dict(scale_factor=1.3)])
@pytest.mark.parametrize('keep_ratio', [True, False])
def test_resize__things_stay_on_the_label_map(panoptic, options, keep_ratio):
    results = loaded(panoptic, 1)
    resized = ResizeSegments(keep_ratio=keep_ratio, **options)(results)
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

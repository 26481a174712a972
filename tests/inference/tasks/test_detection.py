"""Boxes: of a data sample, and of eight of mmdetection's detectors around backbones of ours."""
from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from densevit.inference.canvas import Canvas
from densevit.inference.loading import build_model, load
from densevit.inference.task import Call, Picture
from densevit.inference.tasks import TASKS, read_by
from densevit.inference.tasks.detection import Detection

CLASSES = ('cat', 'dog', 'bus')
BOXES = torch.tensor([[1., 2., 11., 7.], [0., 0., 40., 30.], [35., 20., 60., 50.], [5., 5., 5., 9.]])
LABELS, SCORES = torch.tensor([0, 2, 0, 1]), torch.tensor([.6, .9, .75, .99])


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)


def read(image: np.ndarray, max_pixels: int = 10_000, min_score: Any = None, **others: Any):
    canvas = Canvas.fit(image, max_pixels)
    sample = BaseDataElement()
    sample.pred_instances = InstanceData(bboxes=BOXES, labels=LABELS, scores=SCORES, **others)
    call = Call(classes=CLASSES, options=dict(min_score=min_score))
    Detection().check(call)
    return Detection().read(sample, Picture(image, canvas), call)


def test_read__best_first_within_the_picture(image):
    """A box without an area, wholly in the padding of a long picture for example, is left out."""
    result = read(image)
    assert result.labels.tolist() == [2, 0, 0]
    np.testing.assert_allclose(result.scores, [.9, .75, .6])
    np.testing.assert_allclose(result.boxes, [[0, 0, 40, 30], [35, 20, 40, 30], [1, 2, 11, 7]])
    assert result.masks is None
    assert [(count.name, count.instances, count.pixels) for count in result.counts()] == [
        ('cat', 2, 100), ('bus', 1, 1200)]


def test_read__of_a_shrunk_picture(image):
    """Boxes are of the canvas."""
    result = read(image, max_pixels=300)
    np.testing.assert_allclose(result.boxes[-1], [2, 4, 22, 14])


@pytest.mark.parametrize(('min_score', 'labels'), [
    (.7, [2, 0]), ({'cat': .7, 'bus': 1.}, [0]), ({'bus': .95}, [0, 0]), (1., [])])
def test_min_score__one_or_by_class(image, min_score, labels):
    result = read(image, min_score=min_score)
    assert result.labels.tolist() == labels
    assert result.draw().shape[1] >= 40 and len(result.table().rows) == len(set(labels))


def test_min_score__of_no_class(image):
    with pytest.raises(ValueError, match='cat'):
        read(image, min_score={'cats': .5})


@pytest.mark.parametrize('form', ['bool', 'run lengths'])
def test_masks__belong_to_their_boxes(image, form, tmp_path):
    masks = torch.zeros(4, 30, 40, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, BOXES.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    given = masks if form == 'bool' else [coco_masks.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
                                          for mask in masks]
    result = read(image, masks=given)
    assert result.masks.dtype == bool
    np.testing.assert_array_equal(result.masks, masks[[1, 2, 0]])
    written = result.save(tmp_path / 'a.png', masks=True)
    assert [path.name for path in written] == ['a.png', '000_bus.png', '001_cat.png', '002_cat.png']
    np.testing.assert_array_equal(np.array(Image.open(written[3])) > 0, masks[0])


@pytest.mark.parametrize('with_masks', [False, True])
def test_coco__is_read_by_pycocotools(image, with_masks):
    """Boxes and masks come back as they were, and the file's own ids are used."""
    masks = dict(masks=torch.rand(4, 30, 40) > .5) if with_masks else {}
    result = read(image, **masks)
    truth = COCO()
    truth.dataset = dict(images=[dict(id=7)], annotations=[], categories=[dict(id=id_) for id_ in (3, 5, 9)])
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes(json.loads(json.dumps(result.to_coco(7, (3, 5, 9)))))
    found = found.loadAnns(found.getAnnIds())
    assert [entry['category_id'] for entry in found] == [9, 3, 3]
    for entry, box, index in zip(found, result.boxes, range(3), strict=True):
        if with_masks:
            np.testing.assert_array_equal(coco_masks.decode(entry['segmentation']) > 0, result.masks[index])
        else:
            x, y, width, height = entry['bbox']
            np.testing.assert_allclose([x, y, x + width, y + height], box, atol=.02)


def test_masks__of_a_model_that_has_none(image, tmp_path):
    with pytest.raises(ValueError, match='gives boxes alone; leave masks'):
        read(image).save(tmp_path / 'a.png', masks=True)
    assert not list(tmp_path.iterdir())


def test_dict__names_and_areas(image):
    content = json.loads(read(image).to_json())
    assert content['task'] == 'detection' and content['image_size'] == dict(height=30, width=40)
    assert content['detections'][2] == dict(category_id=0, name='cat', bbox=[1, 2, 10, 5], area=50, score=.6)
    assert content['categories'][2] == dict(id=2, name='bus')
    assert content['areas'][0] == dict(name='cat', instances=2, pixels=100, fraction=100 / 1200)


def test_supervision(image):
    pytest.importorskip('supervision')
    detections = read(image).to_supervision()
    assert detections.data['class_name'].tolist() == ['bus', 'cat', 'cat']
    np.testing.assert_allclose(detections.xyxy[2], [1, 2, 11, 7])


def test_stock_models__whose_task_is_told_by_what_they_give(image):
    """Boxes of a panoptic model are beside what it is about, and instances of masks alone are segmentation."""
    masks = InstanceData(masks=torch.ones(1, 30, 40, dtype=torch.bool), labels=torch.tensor([0]),
                         scores=torch.ones(1))
    boxes = InstanceData(bboxes=BOXES, labels=LABELS, scores=SCORES)
    panoptic = PixelData(sem_seg=torch.zeros(1, 30, 40, dtype=torch.long))
    for fields, of_boxes in ((dict(pred_instances=boxes), True), (dict(pred_instances=masks), False),
                             (dict(pred_instances=boxes, pred_panoptic_seg=panoptic), False)):
        sample = BaseDataElement()
        sample.set_data(fields)
        assert isinstance(read_by(sample, TASKS), Detection) == of_boxes


TIMM = dict(type='densevit.TimmPyramid', _delete_=True)
CONVNEXT = dict(name='convnext_atto', depths=(1, 1, 1, 1), dims=(16, 32, 48, 64), **TIMM)
SWIN = dict(name='swin_tiny_patch4_window7_224', embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8), **TIMM)
VIT = dict(embed_dim=16, depth=4, num_heads=2, patch_size=16, img_size=64)
PYRAMID = dict(type='densevit.SimpleFeaturePyramid', vit=VIT, out_channels=16, scale_factors=(4., 2., 1., .5),
               _delete_=True)
ADAPTER = dict(type='densevit.ViTAdapter', vit=VIT, num_heads=2, conv_inplane=8, out_indices=(1, 2, 3), _delete_=True)
COMER = dict(ADAPTER, type='densevit.ViTCoMer')
HIERA = dict(type='densevit.HieraDet', embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), global_att_blocks=(3, ),
             out_indices=(1, 2, 3), _delete_=True)
FPN = dict(out_channels=16)
ROI = dict(bbox_roi_extractor=dict(out_channels=16), bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=3))
DENSE = dict(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=3)
DETR = dict(encoder=dict(num_layers=1), decoder=dict(num_layers=2), num_queries=20, bbox_head=dict(num_classes=3))
RCNN_TEST = dict(rpn=dict(max_per_img=20), rcnn=dict(score_thr=0., max_per_img=5))
# mmdetection's config, and what makes it ours and small.
DETECTORS = {
    'Faster R-CNN': ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco', dict(
        backbone=CONVNEXT, neck=dict(FPN, in_channels=[16, 32, 48, 64]), roi_head=ROI, test_cfg=RCNN_TEST,
        rpn_head=dict(in_channels=16, feat_channels=16))),
    'Mask R-CNN': ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco', dict(
        backbone=PYRAMID, neck=dict(FPN, in_channels=[16] * 4), test_cfg=RCNN_TEST,
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(ROI, mask_roi_extractor=dict(out_channels=16), mask_head=dict(
            in_channels=16, conv_out_channels=16, num_convs=1, num_classes=3)))),
    'RetinaNet': ('retinanet/retinanet_r50_fpn_1x_coco', dict(
        backbone=dict(SWIN, out_indices=(1, 2, 3)), neck=dict(FPN, in_channels=[32, 64, 128], start_level=0),
        bbox_head=DENSE, test_cfg=dict(score_thr=0., max_per_img=5))),
    'FCOS': ('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco', dict(
        backbone=ADAPTER, neck=dict(FPN, in_channels=[16] * 3, start_level=0),
        bbox_head=dict(DENSE, norm_cfg=None), test_cfg=dict(score_thr=0., max_per_img=5))),
    'DINO': ('dino/dino-4scale_r50_8xb2-12e_coco', dict(
        backbone=HIERA, neck=dict(in_channels=[32, 64, 128]), test_cfg=dict(max_per_img=5), **DETR)),
    'Deformable DETR': ('deformable_detr/deformable-detr_r50_16xb2-50e_coco', dict(
        backbone=COMER, neck=dict(in_channels=[16] * 3), test_cfg=dict(max_per_img=5), **DETR)),
    'RTMDet': ('rtmdet/rtmdet_tiny_8xb32-300e_coco', dict(
        backbone=dict(CONVNEXT, out_indices=(1, 2, 3)),
        neck=dict(in_channels=[32, 48, 64], out_channels=16, num_csp_blocks=1),
        bbox_head=DENSE, test_cfg=dict(score_thr=0., max_per_img=5))),
    'YOLOX': ('yolox/yolox_tiny_8xb8-300e_coco', dict(
        backbone=dict(CONVNEXT, out_indices=(1, 2, 3)),
        neck=dict(in_channels=[32, 48, 64], out_channels=16, num_csp_blocks=1),
        bbox_head=dict(in_channels=16, feat_channels=16, num_classes=3), test_cfg=dict(score_thr=0.))),
}


@pytest.mark.parametrize('name', DETECTORS)
def test_stock_detector__loads_predicts_and_saves(name, tmp_path):
    """By `densevit.load` with a checkpoint of its own; a picture larger than wide, and the boxes that it would give."""
    pytest.importorskip('mmdet')
    stock, model = DETECTORS[name]
    (tmp_path / 'config.py').write_text(
        f"_base_ = 'mmdet::{stock}.py'\nmodel = {model!r}\n"
        "test_dataloader = dict(dataset=dict(metainfo=dict(classes=('cat', 'dog', 'bus'))))\n")
    torch.manual_seed(0)
    built = build_model(Config.fromfile(tmp_path / 'config.py'))
    built.init_weights()  # until then mmdetection's DETRs have whatever is in memory as embeddings of levels
    torch.save(dict(state_dict=built.state_dict()), tmp_path / 'weights.pth')
    predictor = load(tmp_path / 'config.py', tmp_path / 'weights.pth', device='cpu')
    picture = np.random.default_rng(1).integers(0, 255, (90, 70, 3), np.uint8)

    result = predictor.predict(picture, min_score=0.)
    assert predictor.classes == CLASSES and len(result.labels) and result.task == 'detection'
    assert (result.masks is not None) == (name == 'Mask R-CNN')
    assert (result.boxes >= 0).all() and (result.boxes <= [70, 90, 70, 90]).all()
    with torch.no_grad():
        batch = predictor._pipeline(picture[..., ::-1].copy())
        (expected,) = predictor.model.test_step(dict(inputs=[batch[0]], data_samples=[batch[1]]))
    expected = expected.pred_instances
    assert set(result.scores.tolist()) <= set(expected.scores.tolist())
    best = expected.bboxes[expected.scores.argmax()].clamp(min=0)
    np.testing.assert_allclose(result.boxes[0], torch.minimum(best, torch.tensor([70., 90, 70, 90])), atol=1e-3)
    if name in ('Mask R-CNN', 'RTMDet'):
        tiled = predictor.predict(picture, 2, tiles=(90, 48), whole_picture=False, merge='nms', min_score=0.)
        halves = [predictor.predict(picture[:, left:left + 48], min_score=0.) for left in (0, 22)]
        boxes = np.concatenate([half.boxes + [left, 0, left, 0] for half, left in zip(halves, (0, 22), strict=True)])
        assert tiled.notes == ('predicted in 2 tiles of 48x90 pixels',) and len(tiled.labels) > 1
        assert max(abs(boxes - box).max(1).min() for box in tiled.boxes) < .01
        assert (tiled.masks is None) == (result.masks is None)
    picture, text = result.save(tmp_path / 'found.png', json=True)
    assert Image.open(picture).width >= 70
    assert len(json.loads(text.read_text())['detections']) == len(result.labels)

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from pycocotools import mask as coco_masks
from torch import nn

from densevit.inference.canvas import Canvas
from densevit.inference.predictor import Predictor
from densevit.inference.task import Call, Picture, PredictionError
from densevit.inference.tasks.segmentation import Segmentation, class_confidence
from densevit.registry import MODELS

CALL = Call(classes=('a', 'b', 'c'), options=Segmentation.options)


def read(image: np.ndarray, **fields):
    sample = BaseDataElement()
    sample.set_data(fields)
    return Segmentation().read(sample, Picture(image, Canvas.fit(image, 10_000)), CALL)


@pytest.fixture
def image() -> np.ndarray:
    return np.zeros((4, 6, 3), np.uint8)


def test_semantic__without_scores(image):
    labels = torch.tensor([0, 2]).repeat(4, 3)
    result = read(image, pred_sem_seg=PixelData(data=labels[None]))
    assert result.labels.tolist() == [0, 2] and np.isnan(result.scores).all()


def test_semantic__one_channel_is_the_probability_of_label_1(image):
    probability = torch.full((1, 4, 6), 0.9)
    probability[:, :2] = 0.3
    result = read(image, pred_sem_seg=PixelData(data=(probability > 0.5).float()),
                  seg_logits=PixelData(data=probability))
    np.testing.assert_allclose(result.scores, [0.7, 0.9], rtol=1e-6)


def test_semantic__confidence_of_the_model(image):
    labels, confidence = torch.tensor([0, 2]).repeat(4, 3), torch.tensor([.25, .75]).repeat(4, 3)
    result = read(image, pred_sem_seg=PixelData(data=labels[None]), seg_confidence=PixelData(data=confidence[None]))
    assert result.scores.tolist() == [.25, .75]


def test_instances__low_scores_left_out(image):
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[0, :2], masks[1, 2:], masks[2, :, 0] = True, True, True
    result = read(image, pred_instances=InstanceData(
        masks=masks, labels=torch.tensor([2, 0, 1]), scores=torch.tensor([0.9, 0.4, 0.5])))
    assert result.task == 'instance' and result.labels.tolist() == [2, 1]
    np.testing.assert_array_equal(result.masks, masks[[0, 2]])


def test_instances__run_lengths(image):
    masks = np.zeros((2, 4, 6), np.uint8)
    masks[0, :2], masks[1, :, 5] = 1, 1
    encoded = [coco_masks.encode(np.asfortranarray(mask)) for mask in masks]
    result = read(image, pred_instances=InstanceData(
        masks=encoded, labels=torch.tensor([2, 0]), scores=torch.tensor([.4, .9])))
    assert result.labels.tolist() == [0]
    np.testing.assert_array_equal(result.masks, masks[1:])
    nothing = InstanceData(masks=[], labels=torch.zeros(0), scores=torch.zeros(0))
    assert len(read(image, pred_instances=nothing).labels) == 0


def test_instances__none(image):
    result = read(image, pred_instances=InstanceData(
        masks=torch.zeros(0, 4, 6, dtype=torch.bool), labels=torch.zeros(0, dtype=torch.long), scores=torch.zeros(0)))
    assert len(result.labels) == 0 and result.areas() == []


def test_instances__boxes_only(image):
    with pytest.raises(PredictionError, match='without masks'):
        read(image, pred_instances=InstanceData(bboxes=torch.zeros(1, 4), scores=torch.ones(1)))


def test_panoptic__mmdet_ids(image):
    ids = torch.full((1, 4, 6), 3)  # the number of classes: no segment
    ids[0, :, :2], ids[0, :, 2:3], ids[0, 0, 3:] = 1, 2 + 1000, 2 + 2000
    result = read(image, pred_panoptic_seg=PixelData(sem_seg=ids), pred_instances=InstanceData())
    assert result.task == 'panoptic' and result.labels.tolist() == [1, 2, 2]
    assert result.masks.sum((1, 2)).tolist() == [8, 4, 3]
    assert result.semantic[3].tolist() == [1, 1, 2, -1, -1, -1]
    assert result.is_instance.tolist() == [False, True, True]
    assert [(area.name, area.instances) for area in result.areas()] == [('b', None), ('c', 2)]


def test_nothing(image):
    with pytest.raises(PredictionError, match='one of'):
        read(image, depth=PixelData(data=torch.zeros(1, 4, 6)))


def test_class_confidence__logits_and_probabilities():
    torch.manual_seed(0)
    logits = torch.randn(5, 300, 7)
    labels = logits.argmax(0)
    torch.testing.assert_close(class_confidence(logits, labels), logits.softmax(0).max(0).values)
    scores = torch.rand(5, 300, 7) * 2
    torch.testing.assert_close(class_confidence(scores, scores.argmax(0)), scores.max(0).values / scores.sum(0))
    assert class_confidence(torch.zeros(5, 3, 3), torch.zeros(3, 3, dtype=torch.long)).eq(0).all()


def test_options__what_the_model_gets_and_what_is_told(image):
    """The option of a call goes before the model's, and that before 0.5 if it is higher."""
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='PackSegInputs')]))
    for task, own, options, passed, limits in (
            ('instance', 0., {}, dict(score_threshold=.5), dict(min_score=.5)),
            ('instance', .9, {}, dict(score_threshold=.9), {'test_cfg.score_threshold': .9}),
            ('instance', .9, dict(min_score=.3), dict(score_threshold=.3), dict(min_score=.3)),
            ('instance', .9, dict(min_score=dict(b=.4)), dict(score_threshold=.4), dict(min_score=.4)),
            ('instance', 0., dict(score_threshold=.2), dict(score_threshold=.2), dict(score_threshold=.2)),
            ('panoptic', .8, {}, {}, {'test_cfg.score_threshold': .8}),
            ('panoptic', .8, dict(min_score=.6), dict(score_threshold=.6), dict(min_score=.6)),
            ('semantic', None, {}, {}, {})):
        model = Recorder(task, {} if own is None else dict(score_threshold=own))
        result = Predictor(model, cfg, classes=['a', 'b']).predict(image, **options)
        case = (task, own, options)
        assert model.got == passed and result.task == task and result.thresholds == limits, case


def test_options__of_a_model_of_ours(image):
    """Masks of instances below the least score are not made, and the model keeps its options."""
    model = MODELS.build(dict(
        type='densevit.MaskSegmentor', task='instance', num_classes=2, test_cfg=dict(score_threshold=.9),
        backbone=dict(type='densevit.PlainViT', img_size=32, patch_size=16, embed_dim=32, depth=1, num_heads=1),
        head=dict(type='densevit.EoMT', num_queries=2, num_blocks=1)))
    before, seen = model.prediction_options(), []
    model.predict_each = lambda images, samples, options: seen.append(options) or 1 / 0
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='PackSegInputs')]))
    predictor = Predictor(model, cfg, classes=['a', 'b'], min_score=.3)
    assert predictor.max_pixels > 6000 * 4000  # its large pictures are not shrunk
    for options in ({}, dict(min_score=.2), dict(top_k=7)):
        with pytest.raises(ZeroDivisionError):
            predictor.predict(image, **options)
    assert [options.postprocess['score_threshold'] for options in seen] == [.3, .2, .3]
    assert seen[2].postprocess['top_k'] == 7 and model.prediction_options() == before


class Recorder(nn.Module):
    """Finds nothing, and keeps the options it was called with."""

    def __init__(self, task: str, in_force: dict[str, float]) -> None:
        super().__init__()
        self.task, self.prediction_options = task, lambda: in_force

    def test_step(self, data, **options):
        (sample,), self.got = data['data_samples'], options
        size = sample.ori_shape
        sample.set_data(dict(
            semantic=lambda: dict(pred_sem_seg=PixelData(data=torch.zeros(1, *size))),
            instance=lambda: dict(pred_instances=InstanceData(
                masks=torch.zeros(0, *size), labels=torch.zeros(0), scores=torch.zeros(0))),
            panoptic=lambda: dict(pred_panoptic_seg=PixelData(sem_seg=torch.full((1, *size), 2))))[self.task]())
        return [sample]


def test_options__refused(image):
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='PackSegInputs')]))
    predictor = Predictor(Recorder('instance', dict(score_threshold=0.)), cfg, classes=['car', 'cat'])
    with pytest.raises(TypeError, match="'min_scores': choose of .*max_pixels, min_score, score_threshold"):
        predictor.predict(image, min_scores=.3)
    for value in (2, 'a', True, dict(car=-1)):
        with pytest.raises(ValueError, match='min_score=.* from 0 to 1'):
            predictor.predict(image, min_score=value)
    with pytest.raises(ValueError, match="no class: write 'car'"):
        predictor.predict(image, min_score=dict(caar=.3))
    with pytest.raises(ValueError, match='batch_size'):
        predictor.predict(image, batch_size=0)


def test_instances__a_score_for_each_class(image):
    scores = InstanceData(masks=torch.ones(4, 4, 6, dtype=torch.bool), labels=torch.tensor([0, 0, 1, 2]),
                          scores=torch.tensor([.9, .6, .6, .2]))
    sample = BaseDataElement()
    sample.set_data(dict(pred_instances=scores))
    call = Call(classes=('a', 'b', 'c'), options=dict(min_score=dict(a=.8, c=.1)))
    result = Segmentation().read(sample, Picture(image, Canvas.fit(image, 10_000)), call)
    assert result.labels.tolist() == [0, 1, 2]  # b has the default

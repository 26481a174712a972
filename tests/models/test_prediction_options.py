"""Options of a call: they win over ``test_cfg``, are checked as it is, and leave the model as it was."""
import pytest
import torch
from mmengine.structures import BaseDataElement
from randomised import randomise

from densevit.registry import MODELS

BACKBONE = dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2)
HEADS = dict(PixelSegmentor=dict(type='densevit.LinearNet'),
             MaskSegmentor=dict(type='densevit.EoMT', num_queries=12, num_blocks=1))


def build(task='semantic', model='MaskSegmentor', **test_cfg):
    own = {} if model == 'PixelSegmentor' else dict(task=task)
    return randomise(MODELS.build(dict(
        type=f'densevit.{model}', head=HEADS[model], backbone=BACKBONE, num_classes=5, test_cfg=test_cfg, **own)))


def test_what_a_call_says__then_test_cfg__then_defaults():
    model, images = build('instance', top_k=20), torch.randn(2, 3, 50, 70)
    in_force = dict(mode='whole', crop_size=None, stride=None, window_batch=None, max_score_bytes=None,
                    keep_scores=False, encode_masks=False, semantic=False, top_k=20, score_threshold=0.)
    assert model.prediction_options() == in_force
    assert [len(each.pred_instances) for each in model.predict(images)] == [20, 20]
    assert [len(each.pred_instances) for each in model.predict(images, top_k=7)] == [7, 7]
    assert len(model.predict(images, score_threshold=.9)[0].pred_instances) < 7
    found, = model.test_step(dict(inputs=images[:1], data_samples=[BaseDataElement()]), top_k=3, encode_masks=True)
    assert len(found.pred_instances) == 3 and set(found.pred_instances.masks[0]) == {'size', 'counts'}
    found, = model.test_step([images[:1], [BaseDataElement()]], top_k=3)
    assert len(found.pred_instances) == 3
    assert model.prediction_options() == in_force


def test_windows_of_a_call():
    model, windowed = build(), build(mode='slide', crop_size=(32, 48))
    images = torch.randn(2, 3, 50, 70)
    assert torch.equal(model.class_scores(images, mode='slide', crop_size=(32, 48)), windowed.class_scores(images))
    assert torch.equal(windowed.class_scores(images, mode='whole'), model.class_scores(images))


WRONG = [
    ('instance', dict(score_treshold=.5), 'score_treshold is no option here: choose of mode, .*score_threshold'),
    ('semantic', dict(top_k=5), 'top_k is no option here: choose of mode'),
    ('panoptic', dict(top_k=5), 'choose of .*overlap_threshold'),
    ('semantic', dict(mode='windows'), "choose 'whole' or 'slide'"),
    ('semantic', dict(mode='slide'), 'needs crop_size'),
    ('semantic', dict(mode='slide', crop_size=(64, 64), stride=(100, 64)), 'longer than crop_size.*a shorter one'),
    ('semantic', dict(mode='slide', crop_size=(64, 64), stride=0), r'stride=0: give \(height, width\)'),
    ('semantic', dict(mode='slide', crop_size=(-4, 64)), 'crop_size='),
    ('instance', dict(mode='slide', crop_size=(64, 64)), "set mode='whole'"),
    ('panoptic', dict(encode_masks=True), "encode_masks.*task='instance'"),
    ('semantic', dict(semantic=True), "semantic.*task='panoptic'"),
    ('semantic', dict(max_score_bytes=0), 'max_score_bytes=0: give a whole number'),
    ('panoptic', dict(overlap_threshold=80), 'a number from 0 to 1'),
    ('instance', dict(score_threshold='a'), 'a number from 0 to 1'),
    ('instance', dict(top_k=-3), 'top_k=-3'),
    ('instance', dict(top_k=True), 'top_k=True'),
]


@pytest.mark.parametrize('task', ['semantic', 'instance', 'panoptic'])
def test_options_that_make_no_sense(task):
    model = build(task)
    for options, said in [row[1:] for row in WRONG if row[0] == task]:
        with pytest.raises(ValueError, match=said) as of_config:
            build(task, **options)
        with pytest.raises(ValueError, match=said) as of_call:
            model.predict(torch.randn(1, 3, 32, 32), **options)
        assert str(of_config.value) == f'test_cfg.{of_call.value}' and '\n' not in str(of_call.value)

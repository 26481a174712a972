"""Predictions do not depend on how many rows are read at a time, and memory does not on the size of the image."""
import sys
from pathlib import Path

import pytest
import torch
from interpreters import OF_RUNS, run_program
from mmengine.structures import BaseDataElement
from randomised import randomise

from densevit.networks.segmentation import EoMT
from densevit.networks.segmentation.kmax.postprocess import competing_log_odds
from densevit.registry import MODELS

BACKBONE = dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2)
EOMT = dict(type='densevit.EoMT', num_queries=12, num_blocks=1)


class Competing(EoMT):
    """Masks of which each pixel has one."""

    def sigmoid_logits(self, masks):
        return competing_log_odds(masks)


def mask_model(head=EOMT, **kwargs):
    return dict(type='densevit.MaskSegmentor', head=head, **kwargs)


WHOLE, SLIDE = dict(mode='whole'), dict(mode='slide', crop_size=(48, 64))
STRIDED = dict(SLIDE, stride=(31, 40), window_batch=3)
SEMANTIC = dict(keep_scores=True)
PANOPTIC = dict(score_threshold=0., overlap_threshold=.1)
MODELS_TRIED = {
    'masks': mask_model(test_cfg=dict(WHOLE, **SEMANTIC)),
    'masks in windows': mask_model(test_cfg=dict(SLIDE, **SEMANTIC)),
    'masks in strided windows': mask_model(test_cfg=dict(STRIDED, **SEMANTIC)),
    'competing masks': mask_model(dict(EOMT, type=Competing), test_cfg=dict(WHOLE, **SEMANTIC)),
    'pixels': dict(type='densevit.PixelSegmentor', head=dict(type='densevit.LinearNet'), test_cfg=SEMANTIC),
    'pixels in windows': dict(type='densevit.PixelSegmentor', head=dict(type='densevit.LinearNet'),
                              test_cfg=dict(STRIDED, **SEMANTIC)),
    'instances': mask_model(task='instance', test_cfg=dict(top_k=20)),
    'competing instances': mask_model(dict(EOMT, type=Competing), task='instance', test_cfg=dict(top_k=20)),
    'encoded instances': mask_model(task='instance', test_cfg=dict(top_k=20, encode_masks=True)),
    'panoptic': mask_model(task='panoptic', stuff_classes=[1, 3], test_cfg=dict(PANOPTIC, semantic=True)),
    'competing panoptic': mask_model(dict(EOMT, type=Competing), task='panoptic', stuff_classes=[1, 3],
                                     test_cfg=PANOPTIC),
}
SIZES = [((67, 103), (67, 103)), ((67, 103), (131, 90)), ((96, 128), (41, 55)), ((1, 1), (3, 2))]


def build(config):
    model = randomise(MODELS.build(dict(config, backbone=BACKBONE, num_classes=5))).eval()
    if isinstance(model.network, EoMT):  # queries of random weights are alike: let them differ
        generator = torch.Generator().manual_seed(0)
        for layer, width in ((model.network.class_head, 6), (model.network.mask_head, 32)):
            answers = torch.randn(12, width, generator=generator) * 3
            layer.register_forward_hook(lambda _, inputs, output, answers=answers: answers.to(output).expand_as(output))
    return model


@torch.no_grad()
def predict(model, images, shown, original, max_score_bytes, dtype=None):
    samples = [BaseDataElement(metainfo=dict(img_shape=shown, ori_shape=original)) for _ in images]
    with torch.autocast('cpu', dtype, enabled=dtype is not None):
        return model.predict(images, samples, max_score_bytes=max_score_bytes)


def check_equal(bands, whole):
    assert set(bands.keys()) == set(whole.keys())
    for key, ours in bands.items():
        theirs = dict(whole.get(key).items())
        assert set(ours.keys()) == theirs.keys()
        for name, value in ours.items():
            expected = theirs[name]
            if isinstance(value, torch.Tensor):
                assert value.dtype == expected.dtype
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
            else:
                assert value == expected


@pytest.mark.parametrize('name', MODELS_TRIED)
def test_one_row_at_a_time_is_all_at_once(name):
    model = build(MODELS_TRIED[name])
    for shown, original in SIZES:
        images = torch.randn(2, 3, shown[0] + 5, shown[1] + 9)
        whole = predict(model, images, shown, original, 2**40)
        for max_score_bytes in (1, 20_000):
            for own, expected in zip(predict(model, images, shown, original, max_score_bytes), whole, strict=True):
                check_equal(own, expected)
        if shown != (1, 1):
            check_not_empty(name, whole[0], original)


def check_not_empty(name, sample, original):
    """The comparison compares something."""
    for key in ('pred_sem_seg', 'seg_logits'):
        if key in sample:
            assert sample.get(key).data.shape[-2:] == original
            assert sample.get(key).data.unique().numel() > 1
    if 'pred_panoptic_seg' in sample:
        assert sample.pred_panoptic_seg.sem_seg.unique().numel() > 1
    if 'instances' in name:
        assert len(sample.pred_instances) == 20 and (sample.pred_instances.bboxes[:, 2] > 0).any()


@pytest.mark.parametrize(('name', 'dtype'), [
    ('masks in windows', torch.bfloat16), ('masks', torch.float16), ('pixels', torch.float16),
    ('instances', torch.bfloat16), ('panoptic', torch.bfloat16)])
def test_in_half_precision(name, dtype):
    model = build(MODELS_TRIED[name])
    images = torch.randn(2, 3, 67, 103)
    whole = predict(model, images, (67, 103), (80, 90), 2**40, dtype)
    for own, expected in zip(predict(model, images, (67, 103), (80, 90), 1, dtype), whole, strict=True):
        check_equal(own, expected)


def test_windows_do_not_depend_on_the_padding_of_the_batch():
    model = build(MODELS_TRIED['masks in windows'])
    images = torch.randn(1, 3, 67, 103)
    alone, = predict(model, images, (67, 103), (67, 103), 2**40)
    padded = torch.nn.functional.pad(images, (0, 50, 0, 70))
    check_equal(predict(model, padded, (67, 103), (67, 103), 2**40)[0], alone)


def test_encoded_masks_are_the_masks():
    from pycocotools import mask as coco_masks
    images = torch.randn(1, 3, 67, 103)
    bools, = predict(build(MODELS_TRIED['instances']), images, (67, 103), (67, 90), 2**25)
    encoded, = predict(build(MODELS_TRIED['encoded instances']), images, (67, 103), (67, 90), 7000)
    decoded = coco_masks.decode(encoded.pred_instances.masks).transpose(2, 0, 1)
    assert torch.equal(torch.from_numpy(decoded).bool(), bools.pred_instances.masks)
    torch.testing.assert_close(encoded.pred_instances.scores, bools.pred_instances.scores)


def test_semantic_beside_panoptic_is_the_semantic_task():
    images = torch.randn(1, 3, 67, 103)
    beside, = predict(build(MODELS_TRIED['panoptic']), images, (67, 103), (67, 90), 2**25)
    alone, = predict(build(MODELS_TRIED['masks']), images, (67, 103), (67, 90), 2**25)
    assert torch.equal(beside.pred_sem_seg.data, alone.pred_sem_seg.data)
    assert beside.pred_panoptic_seg.sem_seg.shape == (1, 67, 90)


CHILD = """
import sys
import numpy as np
import torch
from mmengine.config import Config
from densevit.inference import Predictor
from densevit.registry import MODELS

torch.set_num_threads(1)
torch.manual_seed(0)
model = MODELS.build(dict(
    type='densevit.MaskSegmentor', num_classes=150,
    data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=[127.] * 3, std=[60.] * 3, test_cfg=None),
    backbone=dict(type='densevit.PlainViT', img_size=512, patch_size=64, embed_dim=16, depth=1, num_heads=1),
    head=dict(type='densevit.EoMT', num_queries=10, num_blocks=1, masked_attention=False),
    test_cfg=dict(mode=sys.argv[1], crop_size=(512, 512))))
seen = []
model.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0].shape[-2:].numel()))
cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))
predictor = Predictor(model, cfg, classes=[str(index) for index in range(150)])
image = np.random.default_rng(0).integers(0, 255, (4000, 6000, 3), np.uint8)
result = predictor.predict(image)
assert result.semantic.shape == (4000, 6000) and sum(seen) >= 24e6
peak, = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]
print('peak', int(peak) * 1024)
"""


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='peak memory is read from Linux')
@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_a_24_megapixel_picture_of_150_classes_in_3_gb(mode):
    done = run_program(CHILD, mode, path=sys.path, imported=OF_RUNS)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1])
    assert peak < 3e9  # all scores would be 14.4 GB

"""The model inside OpenMMLab: losses and predictions from data samples, at any size, whole and windowed."""
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from randomised import randomise

from densevit.inference.tasks.segmentation import class_confidence
from densevit.networks.segmentation import MaskPrediction

BACKBONE = {'type': 'densevit.PlainViT', 'img_size': 64, 'patch_size': 16, 'embed_dim': 32, 'depth': 2, 'num_heads': 2}
PREPROCESSOR = {
    'type': 'mmseg.SegDataPreProcessor', 'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375],
    'bgr_to_rgb': True, 'size_divisor': 1, 'test_cfg': None}


def build(**kwargs):
    model = MODELS.build({
        'type': 'densevit.MaskSegmentor', 'backbone': BACKBONE, 'num_classes': 5,
        'head': {'type': 'densevit.EoMT', 'num_queries': 6, 'num_blocks': 1},
        'criterion': {'num_points': 64}, 'data_preprocessor': PREPROCESSOR, **kwargs})
    return randomise(model)


def image(height, width, ori_shape=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sample = SegDataSample(metainfo={'img_shape': (height, width), 'ori_shape': ori_shape or (height, width)})
    sample.gt_sem_seg = PixelData(data=torch.randint(5, (1, height, width), generator=generator))
    return torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8), sample


def batch(*images):
    inputs, samples = zip(*images, strict=True)
    return {'inputs': list(inputs), 'data_samples': list(samples)}


def test_more_segments_than_queries_are_told_once():
    model, data = build(head={'type': 'densevit.EoMT', 'num_queries': 3, 'num_blocks': 1}), batch(image(64, 64))
    inputs = model.data_preprocessor(data, True)
    with pytest.warns(UserWarning, match='5 segments .* 3 queries.*head.num_queries'):
        model(**inputs, mode='loss')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model(**inputs, mode='loss')


SLIDE = {'mode': 'slide', 'crop_size': (64, 64)}


@pytest.mark.parametrize('test_cfg', [{'mode': 'whole'}, SLIDE, {**SLIDE, 'stride': (40, 40)}])
@torch.no_grad()
def test_any_size_alone_or_in_a_batch(test_cfg):
    model = build(test_cfg={**test_cfg, 'keep_scores': True})
    for size in ((96, 128), (67, 103), (64, 256), (1, 1), (3, 200)):
        images = [image(*size, ori_shape=(70, 90 + seed), seed=seed) for seed in range(3)]
        together = model.test_step(batch(*images))
        for (inputs, sample), result in zip(images, together, strict=True):
            labels, scores = result.pred_sem_seg.data[0], result.seg_logits.data.clone()
            assert labels.shape == sample.ori_shape and scores.shape == (5, *sample.ori_shape)
            assert torch.equal(scores.argmax(0), labels)
            torch.testing.assert_close(result.seg_confidence.data[0], class_confidence(scores, labels))
            alone, = model.test_step(batch((inputs, sample)))
            torch.testing.assert_close(alone.seg_logits.data, scores, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_windows_are_the_networks_predictions_averaged():
    model = build(test_cfg=SLIDE)
    images = torch.randn(1, 3, 64, 96)
    left, right = (build().class_scores(images[..., x:x + 64]) for x in (0, 32))
    expected = torch.zeros(1, 5, 64, 96)
    expected[..., :64] += left
    expected[..., 32:] += right
    expected[..., 32:64] /= 2
    torch.testing.assert_close(model.class_scores(images), expected)


@torch.no_grad()
def test_padding_of_the_preprocessor_is_cut_off_before_resizing():
    model = build(test_cfg={'keep_scores': True})
    inputs, sample = image(64, 80, ori_shape=(128, 160))
    padded = F.pad(inputs, (0, 16, 0, 32))
    result, = model.test_step(batch((padded, sample)))
    scores = model.class_scores(model.data_preprocessor(batch((padded, sample)))['inputs'])
    expected = F.interpolate(scores[..., :64, :80], (128, 160), mode='bilinear')[0]
    torch.testing.assert_close(result.seg_logits.data, expected)


def say(model, *proposals, size=(64, 96)):
    """Let the network predict (label, rows, columns) proposals, whatever it sees."""
    masks, classes = torch.full((1, len(proposals), *size), -12.), torch.zeros(1, len(proposals), 6)
    for index, (label, rows, columns) in enumerate(proposals):
        masks[0, index, rows, columns] = 12.
        classes[0, index, label] = 12.
    model.network.forward = lambda images: [MaskPrediction(masks, classes)]


@torch.no_grad()
def test_instance_predictions():
    model = build(task='instance', test_cfg={'top_k': 2})
    say(model, (3, slice(0, 32), slice(16, 48)), (5, slice(0, 64), slice(0, 96)))
    found = model.test_step(batch(image(64, 96)))[0].pred_instances
    assert found.labels[0] == 3 and found.scores[0] > .99 and len(found) == 2
    assert found.masks.shape == (2, 64, 96) and found.masks[0].sum() == 32 * 32
    assert found.bboxes[0].tolist() == [16, 0, 48, 32]


@torch.no_grad()
def test_panoptic_predictions_are_mmdetections():
    model = build(task='panoptic', stuff_classes=[1])
    rows = slice(0, 64)
    say(model, (1, rows, slice(0, 16)), (4, rows, slice(16, 32)), (4, rows, slice(32, 48)), (1, rows, slice(64, 80)))
    ids = model.test_step(batch(image(64, 96)))[0].pred_panoptic_seg.sem_seg
    assert ids.shape == (1, 64, 96)
    assert ids[0, 0, 8::16].tolist() == [1, 1004, 2004, 5, 1, 5]


@pytest.mark.parametrize(('options', 'said'), [
    (dict(task='panoptik'), "task='panoptik': choose 'semantic', 'instance', 'panoptic'"),
    (dict(task='panoptic', stuff_classes=[1, 99]), r'stuff_classes has \[99\]'),
    (dict(stuff_classes=[1]), "for task='panoptic', and task is 'semantic'"),
    (dict(ignore_index=3), 'ignore_index=3 is one of the'),
    (dict(criterion=dict(num_points=0)), 'num_points=0'),
])
def test_values_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        build(**options)


@torch.no_grad()
def test_scores_lie_over_their_pixels_at_any_size():
    """The mask of the lower half of a padded image is not squeezed into the image."""
    model = build()
    say(model, (0, slice(0, 32), slice(0, 96)), (1, slice(32, 64), slice(0, 96)))
    labels = model.class_scores(torch.randn(1, 3, 50, 96)).argmax(1)
    assert labels.shape == (1, 50, 96) and (labels[:, :32] == 0).all() and (labels[:, 32:] == 1).all()


def test_training_images_and_targets_are_padded_alike():
    """Where the network sees an image of nothing but class 1 is where the mask of class 1 is."""
    model, seen = build().train(), []
    model.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    model.criterion.register_forward_pre_hook(lambda criterion, inputs: seen.append(inputs[1]))
    for height, width in ((50, 70), (64, 33), (5, 96)):
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.ones(1, height, width, dtype=torch.long)))
        model(torch.ones(2, 3, height, width), [sample, sample], mode='loss')
        images, targets = seen[-2:]
        assert images.shape[-2] % 16 == images.shape[-1] % 16 == 0
        for shown, target in zip(images[:, 0] > 0, targets, strict=True):
            assert torch.equal(target.masks[0], shown) and shown.sum() == height * width


def with_instances(height, width):
    """An image with one instance, and a label map as mmdetection packs it."""
    inputs, sample = image(height, width)
    found = DetDataSample(metainfo=sample.metainfo)
    masks = BitmapMasks(np.ones((1, height, width), np.uint8), height, width)
    found.gt_instances = InstanceData(labels=torch.tensor([1]), masks=masks)
    found.gt_sem_seg = PixelData(sem_seg=sample.gt_sem_seg.data)
    return inputs, found


@pytest.mark.parametrize(('task', 'of', 'without', 'obeyed'), [
    ('semantic', image, dict(type='mmdet.DetDataPreprocessor'), dict(type='mmseg.SegDataPreProcessor', size_divisor=1)),
    ('semantic', image, dict(type='mmengine.ImgDataPreprocessor'), dict(
        type='mmseg.SegDataPreProcessor', size_divisor=1)),
    ('semantic', with_instances, dict(type='mmdet.DetDataPreprocessor'), dict(pad_mask=True, pad_seg=True)),
    ('panoptic', with_instances, dict(type='mmdet.DetDataPreprocessor'), dict(pad_mask=True, pad_seg=True)),
    ('instance', with_instances, dict(type='mmengine.ImgDataPreprocessor'), dict(
        type='mmdet.DetDataPreprocessor', pad_mask=True, pad_seg=True)),
])
def test_labels_without_the_pads_of_their_images__obeyed(task, of, without, obeyed):
    def train(preprocessor):
        model = build(task=task, data_preprocessor=dict(preprocessor, mean=[0.] * 3, std=[1.] * 3)).train()
        prepared = model.data_preprocessor(batch(of(64, 96), of(32, 64)), training=True)
        return model(**prepared, mode='loss')

    with pytest.raises(ValueError, match='and the labels of one') as caught:
        train(without)
    for key, value in obeyed.items():
        assert key in str(caught.value) and (key != 'type' or value in str(caught.value))
    assert all(loss.isfinite() for loss in train(dict(without, **obeyed)).values())


@pytest.mark.parametrize(('num_classes', 'remedy'), [(11, 255), (300, 65535)])
def test_an_ignored_label_that_is_a_class__obeyed(num_classes, remedy):
    with pytest.raises(ValueError, match=f'set model.ignore_index={remedy}'):
        build(num_classes=num_classes, ignore_index=7)
    assert build(num_classes=num_classes, ignore_index=remedy).ignore_index == remedy


def test_a_training_step_lowers_the_loss():
    model = build()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    data = batch(image(64, 96), image(64, 96, seed=1))
    totals = []
    for _ in range(30):
        torch.manual_seed(0)
        losses = model(**model.data_preprocessor(data, training=True), mode='loss')
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert set(losses) == {f'{p}loss_{n}' for p in ('', 'd0.') for n in ('cls', 'mask', 'dice')}
    assert totals[-1] < .8 * totals[0]


def test_init_cfg_of_the_backbone_survives_the_runners_initialisation(tmp_path):
    backbone = randomise(MODELS.build(BACKBONE), seed=1)
    torch.save(backbone.trunk.state_dict(), tmp_path / 'trunk.pth')
    checkpoint = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'trunk.pth')}
    model = build(backbone={**BACKBONE, 'init_cfg': checkpoint})
    model.init_weights()
    for name, expected in backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], expected), name

"""Weights of classes in every loss, as mmdetection's and PyTorch's cross-entropy take them."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import densevit.registry
from densevit.networks.segmentation import (
    KMaXLoss,
    MaskClassificationLoss,
    MaskPrediction,
    MaskTarget,
    PixelClassificationLoss,
    SegViTLoss,
)
from densevit.networks.segmentation.base import PixelNetwork, SegmentationNetwork
from densevit.networks.segmentation.kmax.decoder import KMaXPrediction
from densevit.networks.segmentation.segvit.loss import SegViTShrunkLoss
from densevit.networks.segmentation.vit_p.network import ViTP
from densevit.registry import MODELS

CLASSES = 4
WEIGHTS = [.5, 3., 0., 1.5, .1]


def networks() -> dict[str, type[SegmentationNetwork]]:
    MODELS.import_from_location()
    return {name: cls for name, cls in MODELS.module_dict.items()
            if isinstance(cls, type) and issubclass(cls, SegmentationNetwork)}


def test_every_loss__takes_as_many_weights_as_it_classifies():
    for name in networks():
        network = networks()[name]
        option = 'class_weight' if issubclass(network, PixelNetwork) else 'class_weights'
        number = CLASSES if issubclass(network, PixelNetwork | ViTP) else CLASSES + 1
        network.loss_class(CLASSES, **{option: WEIGHTS[:number]})
        for wrong in (WEIGHTS[:number - 1], [*WEIGHTS[:number], 1.], [1.] * (number - 1) + ['x'], 3.):
            with pytest.raises(ValueError, match=rf'criterion\.{option} holds {number} weights, one for each of'):
                network.loss_class(CLASSES, **{option: wrong})
        for wrong in ([-1.] * number, [float('nan')] * number, [0.] * number):
            with pytest.raises(ValueError, match='of 0 or more, and not only of 0'):
                network.loss_class(CLASSES, **{option: wrong})
        if number == CLASSES + 1:  # a loss with several parts, each with a weight
            with pytest.raises(ValueError, match='give the weights of the classes as criterion.class_weights'):
                network.loss_class(CLASSES, class_weight=WEIGHTS)  # mmdetection's name


def masks_case(num_queries=6, size=(16, 24)):
    generator = torch.Generator().manual_seed(0)
    prediction = MaskPrediction(*(torch.randn(shape, generator=generator).requires_grad_() for shape in (
        (2, num_queries, *size), (2, num_queries, CLASSES + 1))))
    targets = [MaskTarget(torch.tensor([1, 3][:count]), torch.rand(count, *size, generator=generator) > .6)
               for count in (2, 1)]
    return prediction, targets


def test_masks__equal_mmdetections_loss():
    from mmdet.models.losses import CrossEntropyLoss  # after densevit, which gives mmcv its operators
    assert densevit.registry
    prediction, targets = masks_case()
    loss = MaskClassificationLoss(CLASSES, class_weight=3., class_weights=WEIGHTS, num_points=50)
    torch.manual_seed(0)
    actual = loss([prediction], targets)['loss_cls']
    torch.manual_seed(0)
    labels = torch.full((2, 6), CLASSES)
    for row, masks, classes, target in zip(labels, *prediction, targets, strict=True):
        queries, segments = loss.match(MaskPrediction(masks, classes), target)
        row[queries] = target.labels[segments]
    theirs = CrossEntropyLoss(use_sigmoid=False, loss_weight=3., class_weight=WEIGHTS)
    # As mmdetection's MaskFormerHead calls it.
    expected = theirs(prediction.classes.flatten(0, 1), labels.flatten(), torch.ones(12),
                      avg_factor=torch.tensor(WEIGHTS)[labels].sum())
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, prediction.classes)[0] for x in (actual, expected)))


def test_masks__the_weight_of_no_object_is_the_last():
    prediction, targets = masks_case()
    losses = []
    for options in (dict(no_object_weight=.3), dict(class_weights=[1.] * CLASSES + [.3])):
        torch.manual_seed(0)
        losses.append(MaskClassificationLoss(CLASSES, num_points=50, **options)([prediction], targets)['loss_cls'])
    torch.testing.assert_close(*losses)
    with pytest.raises(ValueError, match='leave out no_object_weight'):
        MaskClassificationLoss(CLASSES, class_weights=WEIGHTS, no_object_weight=.3)


def test_masks__nothing_that_has_a_weight_costs_nothing():
    """An image without segments, where "no object" has none: 0, not NaN, which would end the run."""
    prediction, _ = masks_case()
    nothing = [MaskTarget(torch.zeros(0, dtype=torch.long), torch.zeros(0, 16, 24))] * 2
    loss = MaskClassificationLoss(CLASSES, class_weights=[1.] * CLASSES + [0.], num_points=50)
    assert loss([prediction], nothing)['loss_cls'] == 0


def test_pixels__equal_pytorchs_loss_at_any_scale():
    for scale in [1., 1e-4]:
        for smoothing in [0., .1]:
            generator = torch.Generator().manual_seed(0)
            logits = torch.randn(2, CLASSES, 8, 12, generator=generator)
            labels = torch.randint(CLASSES, (2, 8, 12), generator=generator)
            labels[:, :2] = 255
            weights = [scale * weight for weight in WEIGHTS[:CLASSES]]
            loss = PixelClassificationLoss(CLASSES, class_weight=weights, label_smoothing=smoothing)
            expected = F.cross_entropy(
                logits, labels, torch.tensor(weights), ignore_index=255, label_smoothing=smoothing)
            torch.testing.assert_close(loss([logits], labels)['loss_seg'], expected)
            assert loss([logits], torch.full_like(labels, 255))['loss_seg'] == 0
            if not smoothing:
                assert loss([logits], torch.full_like(labels, 2))['loss_seg'] == 0  # whose weight is 0


def test_segvit_shrunk__its_patches_have_the_weights_too():
    loss = SegViTShrunkLoss(CLASSES, class_weights=WEIGHTS)
    assert isinstance(loss, SegViTLoss) and loss.pixel_loss.class_weight.tolist() == WEIGHTS[:CLASSES]
    assert loss.class_weights.tolist() == torch.tensor(WEIGHTS).tolist()


def test_kmax__weights_are_factors_of_each_query_and_pixel():
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 6, 8, 12), (2, 6, CLASSES + 1), (2, 5, 8, 12), (2, CLASSES + 1, 8, 12))
    prediction = KMaXPrediction(*(torch.randn(shape, generator=generator) for shape in shapes))
    halves = torch.zeros(2, 8, 12, dtype=torch.bool)
    halves[0, :, :6], halves[1, :, 6:] = True, True
    targets = [MaskTarget(torch.tensor([1, 1]), halves)] * 2

    def losses(weights):
        return KMaXLoss(CLASSES, pixel_samples=96, semantic_samples=96, class_weights=weights)([prediction], targets)

    plain, ones = losses(None), losses([1.] * (CLASSES + 1))
    torch.testing.assert_close(plain, ones)
    doubled = losses([1., 2., 1., 1., 2.])  # all that occurs: class 1 and "no object"
    for name in plain:
        factor = 2. if name in ('loss_cls', 'loss_semantic') else 1.
        torch.testing.assert_close(doubled[name], factor * plain[name])


def test_in_a_config():
    vit = dict(type='densevit.PlainViT', embed_dim=16, depth=2, num_heads=2, patch_size=16, img_size=32)
    cfg = dict(type='densevit.MaskSegmentor', backbone=vit, num_classes=CLASSES,
               head=dict(type='densevit.EoMT', num_queries=4, num_blocks=1), criterion=dict(class_weights=WEIGHTS))
    assert MODELS.build(cfg).criterion.class_weights.tolist() == torch.tensor(WEIGHTS).tolist()
    cfg['criterion'] = dict(class_weights=WEIGHTS[:CLASSES])
    with pytest.raises(ValueError, match=r"as the last, that of 'no object', not 4 of them"):
        MODELS.build(cfg)

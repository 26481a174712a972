"""Mask2Former against transformers' with the same random weights, and its own behaviour."""
import pytest
import torch
from official import assert_close
from randomised import randomise

from densevit import load_weights
from densevit.backbones import TimmPyramid
from densevit.networks.segmentation import Mask2FormerNet, MaskTarget
from densevit.networks.segmentation.mask2former import attention_mask
from densevit.registry import MODELS

pytest.importorskip('transformers', reason='needs transformers')
from hf_swin import WIDTHS, hf_swin_config, tiny_swin
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

SIZES = dict(num_queries=5, encoder_layers=2, decoder_layers=4)
NUM_POINTS = 64


def build(num_classes=4, **options):
    sizes = dict(embed_dim=32, num_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=40, mask_dim=64)
    return Mask2FormerNet(tiny_swin(), num_classes, **{**SIZES, **sizes, **options})


def transformers_model():
    config = Mask2FormerConfig(
        backbone_config=hf_swin_config(), feature_size=32, mask_feature_size=64, hidden_dim=32, num_attention_heads=2,
        encoder_feedforward_dim=48, dim_feedforward=40, num_labels=4, train_num_points=NUM_POINTS, dropout=0.,
        **{**SIZES, 'decoder_layers': SIZES['decoder_layers'] + 1})  # counts the prediction before the first
    return randomise(Mask2FormerForUniversalSegmentation(config))


def test_equals_transformers_with_all_intermediate_predictions_and_losses():
    theirs, ours = transformers_model(), build().eval()
    criterion = ours.loss_class(4, num_points=NUM_POINTS)
    theirs.criterion.empty_weight.copy_(criterion.class_weights)
    load_weights(ours, theirs.state_dict())
    images = torch.randn(2, 3, 128, 192)
    targets = [MaskTarget(torch.tensor([0, 3, 1]), torch.rand(3, 128, 192) > .6),
               MaskTarget(torch.tensor([2, 2]), torch.rand(2, 128, 192) > .3)]
    torch.manual_seed(0)
    expected = theirs(images, mask_labels=[target.masks.float() for target in targets],
                      class_labels=[target.labels for target in targets], output_auxiliary_logits=True)
    predictions = ours(images)
    layers = [*expected.auxiliary_logits, expected]
    assert_close([x.masks for x in predictions], [x['masks_queries_logits'] for x in layers])
    assert_close([x.classes for x in predictions], [x['class_queries_logits'] for x in layers])
    assert predictions[-1].masks.shape == (2, 5, 32, 48)
    torch.manual_seed(0)
    # transformers draws the points of the last prediction first.
    losses = criterion([predictions[-1]], targets)
    for prediction in predictions[:-1]:
        for name, loss in criterion([prediction], targets).items():
            losses[name] = losses[name] + loss
    torch.testing.assert_close(sum(losses.values()), expected.loss, rtol=1e-4, atol=0.)


@torch.no_grad()
def test_a_query_reads_inside_its_mask_or_everywhere_if_that_is_empty():
    masks = torch.full((1, 3, 16, 16), -1.)
    masks[0, 0, :8] = masks[0, 1] = 1.
    inside = attention_mask(masks, (4, 8))[0, 0].unflatten(1, (4, 8))
    assert inside[0, :2].all() and not inside[0, 2:].any()
    assert inside[1].all() and inside[2].all()
    assert attention_mask(torch.full((1, 1, 4, 4), float('nan')), (2, 2)).all()


@torch.no_grad()
def test_what_lies_outside_of_all_masks_cannot_reach_a_prediction():
    """Of the features of stride 32, which the first layer reads, those outside of the masks count for nothing."""
    model = randomise(build(decoder_layers=1))
    features = model.pixel_decoder(model.backbone(torch.randn(1, 3, 128, 192)))
    features.mask_features.mul_(0.).add_(-1.)
    model.mask_head = torch.nn.Linear(32, 64)
    model.mask_head.weight.zero_()
    model.mask_head.bias.fill_(1.)  # every mask is empty but for what is set below
    features.mask_features[:, :, :16] = 1.  # the upper half
    before = model.decode(features)[-1]
    features.levels[0][:, :, 3] += torch.randn(32, 6)  # the lowest of four rows
    assert torch.equal(model.decode(features)[-1].classes, before.classes)
    features.levels[0][:, :, 0] += torch.randn(32, 6)
    assert not torch.allclose(model.decode(features)[-1].classes, before.classes)


def test_half_precision_trains_and_keeps_the_pixel_decoder_single():
    model = build().train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert model.pixel_decoder(model.backbone(torch.randn(1, 3, 64, 64))).mask_features.dtype == torch.float32
        predictions = model(torch.randn(1, 3, 64, 64))
    losses = model.loss_class(4, num_points=20)(
        predictions, [MaskTarget(torch.tensor([1]), torch.rand(1, 64, 64) > .5)])
    sum(losses.values()).backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in model.parameters())


@torch.no_grad()
def test_windows_and_interleaved_stuff_under_the_model():
    sizes = dict(type='densevit.Mask2FormerNet', embed_dim=32, num_heads=2, mask_dim=32, decoder_layers=1,
                 num_queries=5)
    swin = dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224', img_size=128, **WIDTHS)
    slide = MODELS.build(dict(type='densevit.MaskSegmentor', backbone=swin, head=sizes, num_classes=4,
                              test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(40, 40)))).eval()
    assert slide.class_scores(torch.randn(2, 3, 90, 130)).shape == (2, 4, 90, 130)
    panoptic = MODELS.build(dict(
        type='densevit.MaskSegmentor', backbone=swin, head=sizes, num_classes=4, task='panoptic', stuff_classes=[0, 2],
        test_cfg=dict(score_threshold=0., overlap_threshold=0.))).eval()
    result = panoptic.predict(torch.randn(1, 3, 70, 90))[0].pred_panoptic_seg.sem_seg
    assert result.shape == (1, 70, 90)


@pytest.mark.parametrize(('name', 'millions'), [('resnet50', 44.0), ('swin_tiny_patch4_window7_224', 47.4)])
def test_number_of_parameters_is_the_published_one(name, millions):
    with torch.device('meta'):
        model = Mask2FormerNet(TimmPyramid(name, norm_out=name.startswith('swin')), 133)
    assert round(sum(x.numel() for x in model.parameters()) / 1e6, 1) == millions


def test_wrong_backbones_and_widths_are_explained():
    with pytest.raises(ValueError, match='put a plain ViT into'):
        Mask2FormerNet(TimmPyramid('resnet10t', out_indices=(2, 3, 4)), 4)
    with pytest.raises(ValueError, match='a multiple of 32'):
        build(embed_dim=48)
    with pytest.raises(ValueError, match='3 heads do not divide'):
        build(num_heads=3)

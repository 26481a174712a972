"""LW-DETR and RF-DETR: predictions and training losses of transformers' models with the same weights."""
import pytest
import torch
from official import assert_close
from randomised import randomise
from torch import nn

from densevit import PlainViT, load_weights
from densevit.networks.detection import (
    LWDETR,
    BoxPrediction,
    BoxSetLoss,
    BoxTarget,
    InstanceSetLoss,
    MaskFactors,
    RFDETRSeg,
)
from densevit.networks.detection.set_loss import Pairs

transformers = pytest.importorskip('transformers', reason='needs transformers')
if not hasattr(transformers, 'LwDetrConfig'):
    pytest.skip('needs transformers 5.23', allow_module_level=True)

CLASSES, SIZES = 7, dict(embed_dim=32, num_queries=10, num_layers=2, num_heads=4, num_cross_heads=8, ffn_dim=48)
VIT = dict(embed_dim=48, depth=4, num_heads=4, patch_size=16)
LABELS = [dict(class_labels=torch.tensor([1, 4, 2]),
               boxes=torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]])),
          dict(class_labels=torch.tensor([0, 6]), boxes=torch.tensor([[.2, .8, .3, .2], [.8, .2, .2, .3]]))]
TARGETS = [BoxTarget(image['class_labels'], image['boxes']) for image in LABELS]


def their_options(**options):
    return dict(
        d_model=32, decoder_ffn_dim=48, decoder_n_points=2, decoder_layers=2, decoder_self_attention_heads=4,
        decoder_cross_attention_heads=8, num_queries=10, num_labels=CLASSES, c2f_num_blocks=3, dropout=0., **options)


def their_lw_detr(scales, groups=3):
    """Taps are numbered from the embedding there, 0: those of the blocks 1 and 3 are 2 and 4."""
    vit = transformers.LwDetrViTConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=4, window_block_indices=[0, 2], out_indices=[2, 4],
        image_size=256, pretrain_image_size=64)
    config = transformers.LwDetrConfig(
        backbone_config=vit, projector_scale_factors=list(scales), group_detr=groups, **their_options())
    return tame(randomise(transformers.LwDetrForObjectDetection(config)))


def our_lw_detr(scales, groups=3):
    vit = PlainViT(**VIT, img_size=64, init_values=.1, class_token=False, num_windows=4, global_blocks=(1, 3),
                   out_indices=(1, 3), norm_out=False, pos_embed_antialias=False)
    return randomise(LWDETR(vit, CLASSES, num_groups=groups, scales=scales, **SIZES), 1)


def their_rf_detr():
    from transformers.models.rf_detr.configuration_rf_detr import RfDetrDinov2Config
    vit = RfDetrDinov2Config(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=4, out_features=['stage2', 'stage4'], image_size=96,
        patch_size=16, num_windows=2)
    # The epsilon of rfdetr; transformers' default differs.
    config = transformers.RfDetrConfig(backbone_config=vit, group_detr=3, layer_norm_eps=1e-6, **their_options())
    return tame(randomise(transformers.RfDetrForObjectDetection(config)))


def our_rf_detr(num_classes=CLASSES):
    vit = PlainViT(**VIT, img_size=96, init_values=1., num_windows=2, prefix_per_window=True, global_blocks=(2, ),
                   out_indices=(1, 3))
    return randomise(LWDETR(vit, num_classes, num_groups=3, projector_norm='layer', **SIZES), 1)


def tame(model):
    """Boxes that do not leave the image by their exponential."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'bbox_embed' in name or 'reference_point_embed' in name:
                parameter.mul_(.2)
    return model


def with_weights_of(ours, theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    report = load_weights(ours, tmp_path / 'theirs.pth')
    assert not report.missing and set(report.left) <= {'embeddings.mask_token'}
    return ours


@torch.no_grad()
def assert_same_predictions(ours, theirs, size):
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected, found = theirs(images), ours(images)[-1]
    assert_close(found.logits[:, 0], expected.logits, 1e-4)
    assert_close(found.boxes[:, 0], expected.pred_boxes, 1e-4)


def assert_same_losses(ours, theirs, layers=2):
    for module in (*theirs.train().modules(), *ours.train().modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    expected = theirs(images, labels=LABELS).loss_dict
    found = BoxSetLoss(CLASSES)(ours(images), TARGETS)
    assert len(found) == 3 * (layers + 1)
    places = {'': '', 'd0.': '_enc', **{f'd{index + 1}.': f'_{index}' for index in range(layers - 1)}}
    for prefix, suffix in places.items():
        for own, their, weight in (('cls', 'ce', 1.), ('bbox', 'bbox', 5.), ('iou', 'giou', 2.)):
            torch.testing.assert_close(found[f'{prefix}loss_{own}'], weight * expected[f'loss_{their}{suffix}'],
                                       rtol=1e-4, atol=1e-5, check_dtype=False)


def their_rf_detr_seg():
    config = their_rf_detr().config
    config.intermediate_size = 40
    return tame(randomise(transformers.RfDetrForInstanceSegmentation(config)))


def our_rf_detr_seg():
    vit = our_rf_detr().backbone
    return randomise(RFDETRSeg(vit, CLASSES, num_groups=3, projector_norm='layer', mask_hidden_dim=40, **SIZES), 1)


@pytest.mark.parametrize('scales', [(1., ), (2., .5)])
def test_lw_detr_equals_transformers(scales, tmp_path):
    theirs = their_lw_detr(scales, groups=13)
    ours = with_weights_of(our_lw_detr(scales, groups=13), theirs, tmp_path)
    for size in ((128, 192), (256, 64)):
        assert_same_predictions(ours, theirs, size)
    assert_same_losses(ours, theirs)


def test_rf_detr_equals_transformers(tmp_path):
    """Squares, for transformers swaps the sides of windows."""
    theirs = their_rf_detr()
    ours = with_weights_of(our_rf_detr(), theirs, tmp_path)
    for side in (96, 160):
        assert_same_predictions(ours, theirs, (side, side))
    assert_same_losses(ours, theirs)


def test_rf_detr_seg_equals_transformers(tmp_path):
    """Predictions; and losses of the same points, which are drawn by turns in both."""
    theirs = their_rf_detr_seg()
    ours = with_weights_of(our_rf_detr_seg(), theirs, tmp_path)
    assert_same_predictions(ours, theirs, (96, 96))
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs(images).pred_masks, ours(images)[-1].masks
    for image, logits in enumerate(expected):
        assert_close(found.logits(image, found.queries[image, 0]), logits, 1e-4)


def test_mask_loss_equals_transformers(monkeypatch):
    """Of each prediction by itself, with the same points."""
    from transformers.loss import loss_rf_detr as theirs
    generator = torch.Generator().manual_seed(0)
    targets = [BoxTarget(labels, boxes, torch.rand(len(labels), 64, 96, generator=generator) > .5)
               for labels, boxes, _ in TARGETS]
    factors = MaskFactors(torch.randn(2, 3, 9, 5, generator=generator),
                          torch.randn(2, 5, 16, 24, generator=generator))
    prediction = BoxPrediction(torch.randn(2, 3, 9, CLASSES, generator=generator),
                               torch.rand(2, 3, 9, 4, generator=generator) * .5 + .1, factors)
    masks = torch.stack([factors.logits(image, factors.queries[image].flatten(0, 1)) for image in range(2)])
    loss = InstanceSetLoss(CLASSES)
    pairs = loss.match(prediction, targets)
    places = [(pairs.queries[0] == image) for image in range(2)]
    starts = (0, len(targets[0].labels))
    indices = [((9 * pairs.queries[1] + pairs.queries[2])[own], pairs.objects[own] - start)
               for own, start in zip(places, starts, strict=True)]
    criterion = theirs.RfDetrImageLoss(None, CLASSES, .25, [], 3, 16)
    torch.manual_seed(1)
    expected = criterion.loss_masks(
        dict(pred_masks=masks), [dict(masks=target.masks) for target in targets], indices, 1.)
    torch.manual_seed(1)
    found = loss.sums(prediction, pairs, targets)
    torch.testing.assert_close(found['loss_mask'], 5. * expected['loss_mask_ce'], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found['loss_dice'], 5. * expected['loss_mask_dice'], rtol=1e-4, atol=1e-4)
    # The cost of masks, with the points of a draw, is that of whole masks where a point is compared for each pixel.
    alone = InstanceSetLoss(CLASSES, class_cost=0., box_cost=0., giou_cost=0., point_share=1)
    points = torch.rand(1, 16 * 24, 2, generator=generator)
    monkeypatch.setattr(torch, 'rand', lambda *size, **options: points)
    logits = theirs.sample_point(masks[0].unsqueeze(1), points.expand(27, -1, -1), align_corners=False).squeeze(1)
    labels = theirs.sample_point(targets[0].masks.float().unsqueeze(1), points.expand(3, -1, -1), align_corners=False,
                                 mode='nearest').squeeze(1)
    cost = 5. * (theirs.pair_wise_sigmoid_cross_entropy_loss(logits, labels) +
                 theirs.pair_wise_dice_loss(logits, labels))
    torch.testing.assert_close(alone.costs(prediction, 0, targets[0]).flatten(0, 1), cost, rtol=1e-4, atol=1e-4)


def test_class_loss__is_the_papers_and_stays_finite_where_its_logarithms_do_not():
    logits = torch.tensor([[[[2., -1.], [.5, 3.]]]], requires_grad=True)
    zero = torch.tensor([0])
    pairs = Pairs((zero, zero, torch.tensor([1])), zero, zero, torch.zeros(1, 4))
    loss = BoxSetLoss(2).class_loss(logits, pairs, torch.tensor([.6]))
    p = logits.detach().sigmoid()
    t = p[0, 0, 1, 0]**.25 * .6**.75
    others = (p**2 * -(1. - p).log()).sum() - p[0, 0, 1, 0]**2 * -(1. - p[0, 0, 1, 0]).log()
    expected = others - t * p[0, 0, 1, 0].log() - (1. - t) * (1. - p[0, 0, 1, 0]).log()
    torch.testing.assert_close(loss, expected, check_dtype=False)
    sure = torch.full((1, 1, 2, 2), 200., requires_grad=True)
    BoxSetLoss(2).class_loss(sure, pairs, torch.tensor([0.])).backward()
    assert sure.grad.isfinite().all() and sure.grad.any()


def test_loss__in_half_precision_is_that_of_its_values():
    """Costs of half precision would decide matches by rounding."""
    generator = torch.Generator().manual_seed(0)
    logits, boxes = torch.randn(2, 2, 9, CLASSES, generator=generator), torch.rand(2, 2, 9, 4, generator=generator)
    half = BoxPrediction(logits.bfloat16(), boxes.bfloat16())
    with torch.autocast('cpu', torch.bfloat16):
        found = BoxSetLoss(CLASSES)([half], TARGETS)
    expected = BoxSetLoss(CLASSES)([BoxPrediction(half.logits.float(), half.boxes.float())], TARGETS)
    assert all(found[name].dtype == torch.float32 and torch.equal(found[name], expected[name]) for name in expected)


def test_wrong_options_are_told():
    with pytest.raises(ValueError, match='head.scales has 3'):
        LWDETR(PlainViT(**VIT, img_size=64), 2, scales=(3, ))

"""DEIMv2 and D-FINE: predictions and training losses of transformers' models with the same weights."""
from types import SimpleNamespace

import pytest
import torch
from networks.base import pyramid
from networks.detection.official_deim import official_deim
from official import assert_close
from randomised import randomise
from torch import nn

from densevit import PlainViT, TimmPyramid, load_weights
from densevit.networks.detection import DEIM, BoxTarget, DEIMLoss
from densevit.networks.detection.deim.loss import most_frequent_pairs
from densevit.networks.detection.deim.prediction import EdgePrediction
from densevit.networks.detection.set_loss import Pairs

transformers = pytest.importorskip('transformers', reason='needs transformers')
if not hasattr(transformers, 'Deimv2Config'):
    pytest.skip('needs transformers 5.23', allow_module_level=True)

CLASSES = 7
SIZES = dict(embed_dim=32, num_queries=10, num_layers=3, num_heads=4, ffn_dim=48, encoder_ffn_dim=40, expansion=.5,
             num_blocks=2, activation='relu', project_proposals=True, update_positions=True, num_denoising=20,
             box_noise=.5)  # of more, edges pass each other, which transformers answers with boxes of no size
DFINE = dict(SIZES, fusion='cat', branch_convs=True, style='d-fine', position_dims=(64, ))
LABELS = [dict(class_labels=torch.tensor([1, 4, 2]),
               boxes=torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]])),
          dict(class_labels=torch.tensor([0, 6]), boxes=torch.tensor([[.2, .8, .3, .2], [.8, .2, .2, .3]]))]
TARGETS = [BoxTarget(image['class_labels'], image['boxes']) for image in LABELS]


def their_options(**options):
    return {**dict(
        encoder_hidden_dim=32, encoder_ffn_dim=40, encoder_attention_heads=4, d_model=32, decoder_ffn_dim=48,
        decoder_n_points=[3, 6, 3], decoder_layers=3, decoder_attention_heads=4, num_queries=10, num_labels=CLASSES,
        num_denoising=20, box_noise_scale=.5, hidden_expansion=.5, depth_mult=.67, decoder_in_channels=[32] * 3,
        freeze_backbone_batch_norms=False), **options}


class Levels(nn.Module):
    """Maps of one of our backbones in the place of HGNetV2."""

    def __init__(self, backbone, is_d_fine):
        super().__init__()
        self.model, self.is_d_fine = backbone, is_d_fine

    def forward(self, images, *_, **__):
        maps = self.model(images)
        return [(x, None) for x in maps] if self.is_d_fine else SimpleNamespace(feature_maps=maps)


def hgnet():
    return transformers.HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 12, 16], stage_mid_channels=[8] * 4,
        stage_out_channels=[8, 12, 16, 20], stage_num_blocks=[1] * 4, stage_numb_of_layers=[1] * 4,
        stage_light_block=[False] * 4, stage_kernel_size=[3] * 4, depths=[1] * 4, hidden_sizes=[8, 12, 16, 20],
        embedding_size=8, out_indices=[2, 3, 4])


def hgnet_b0(*levels):
    """That of the sizes N and S, of these levels."""
    widths = [64, 256, 512, 1024]
    return transformers.HGNetV2Config(
        stem_channels=[3, 16, 16], stage_in_channels=[16, *widths[:3]], stage_mid_channels=[16, 32, 64, 128],
        stage_out_channels=widths, stage_num_blocks=[1, 1, 2, 1], stage_numb_of_layers=[3] * 4,
        stage_light_block=[False, False, True, True], stage_kernel_size=[3, 3, 5, 5], depths=[1, 1, 2, 1],
        hidden_sizes=widths, embedding_size=16, use_learnable_affine_block=True,
        out_indices=[level + 1 for level in levels])


def with_sizes(model):
    """Random values, but for constants and what makes boxes run away or signals grow from layer to layer."""
    constants = {name: tensor.clone() for name, tensor in model.state_dict().items()
                 if name.endswith(('num_points_scale', 'reg_scale', '.up'))}
    randomise(model).load_state_dict(constants, strict=False)
    is_hgnet = any('embedder.stem1' in name for name in model.state_dict())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'bbox_' in name and 'layers.2' in name:
                parameter.mul_(.2)
            elif name.endswith('.convolution.weight'):
                parameter.mul_((parameter[0].numel()**-.5) / .3)
            elif is_hgnet and parameter.ndim > 1:
                parameter.mul_(.8)
        for name, buffer in model.named_buffers():
            if is_hgnet and name.endswith('running_var'):
                buffer.clamp_(min=.3)
    return model


def their_d_fine():
    config = transformers.DFineConfig(
        backbone_config=hgnet(), encoder_in_channels=[12, 16, 20], feat_strides=[8, 16, 32], **their_options())
    model = transformers.DFineForObjectDetection(config)
    model.model.backbone = Levels(pyramid(out_indices=(1, 2, 3)), True)
    return with_sizes(model)


def their_d_fine_hgnet():
    return with_sizes(transformers.DFineForObjectDetection(transformers.DFineConfig(
        backbone_config=hgnet_b0(1, 2, 3), **their_options(
            encoder_in_channels=[256, 512, 1024], feat_strides=[8, 16, 32], freeze_backbone_batch_norms=True))))


def their_deim_hgnet():
    """DEIMv2-N: two levels."""
    return with_sizes(transformers.Deimv2ForObjectDetection(transformers.Deimv2Config(
        backbone_config=hgnet_b0(2, 3), **their_options(
            encoder_in_channels=[512, 1024], feat_strides=[16, 32], encode_proj_layers=[1], num_feature_levels=2,
            decoder_in_channels=[32] * 2, decoder_n_points=[6, 6], freeze_backbone_batch_norms=True))))


def our_hgnet(levels, **options):
    return randomise(DEIM(TimmPyramid('hgnetv2_b0', out_indices=levels), CLASSES, **options), 1)


def their_deim(backbone, trailing=False):
    options = their_options(encoder_in_channels=[12, 16, 20] if backbone == 'pyramid' else [32] * 3,
                            spatial_tuning_adapter_inplanes=8, encoder_has_trailing_conv=trailing)
    if backbone == 'pyramid':
        model = transformers.Deimv2ForObjectDetection(transformers.Deimv2Config(backbone_config=hgnet(), **options))
        model.model.conv_encoder.model = Levels(pyramid(out_indices=(1, 2, 3)), False)
        return with_sizes(model)
    vit = transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, patch_size=16, image_size=64,
        out_indices=[2, 3, 4], num_register_tokens=2, layer_norm_eps=1e-5,
        pos_embed_rescale=None)  # which is drawn in training
    return with_sizes(transformers.Deimv2ForObjectDetection(transformers.Deimv2Config(backbone_config=vit, **options)))


def our_deim(backbone, **options):
    if backbone == 'pyramid':
        return randomise(DEIM(pyramid(out_indices=(1, 2, 3)), CLASSES, **{**SIZES, **options}), 1)
    vit = PlainViT('vit_small_patch16_dinov3_qkvb', embed_dim=32, depth=4, num_heads=2, mlp_ratio=2.,
                   num_reg_tokens=2, out_indices=(1, 2, 3), img_size=64)
    return randomise(DEIM(vit, CLASSES, side_dim=8, **{**SIZES, **options}), 1)


MODELS = {
    'DEIMv2 on DINOv3': (lambda: their_deim('vit'), lambda: our_deim('vit')),
    'DEIMv2 on a pyramid': (lambda: their_deim('pyramid', True), lambda: our_deim('pyramid', branch_convs=True)),
    'D-FINE': (their_d_fine, lambda: randomise(DEIM(pyramid(out_indices=(1, 2, 3)), CLASSES, **DFINE), 1)),
    'DEIMv2-N on HGNetV2': (
        their_deim_hgnet, lambda: our_hgnet((2, 3), **SIZES, num_points=(6, 6), branch_convs=True)),
    'D-FINE on HGNetV2': (their_d_fine_hgnet, lambda: our_hgnet((1, 2, 3), **DFINE)),
}


def with_weights_of(ours, theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    report = load_weights(ours, tmp_path / 'theirs.pth')
    assert not report.missing
    assert not [name for name in report.left if 'num_points_scale' not in name and 'mask_token' not in name]
    return ours


@pytest.mark.parametrize('name', MODELS)
def test_equals_transformers(name, tmp_path):
    theirs, ours = (build() for build in MODELS[name])
    with_weights_of(ours, theirs, tmp_path)
    for size in ((128, 192), (256, 64)):
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected, found = theirs(images), ours(images)[-1]
        assert_close(found.logits[:, 0], expected.logits, 1e-4)
        assert_close(found.boxes[:, 0], expected.pred_boxes, 1e-4)


def arranged(predictions):
    """Our predictions as the authors' code arranges them for its criterion.

    transformers' own arrangement pairs the boxes of each layer with the edges of the next and teaches the last layer's
    edges nothing, so its criterion is called with the authors'.
    """
    def plain(prediction, last):
        edges = prediction.edges
        output = dict(logits=prediction.logits.flatten(1, 2), pred_boxes=prediction.boxes.flatten(1, 2))
        if edges is not None:
            output.update(pred_corners=edges.logits.flatten(1, 2).flatten(2), ref_points=edges.references.flatten(1, 2),
                          teacher_corners=last.edges.logits.flatten(1, 2).flatten(2),
                          teacher_logits=last.logits.flatten(1, 2).clone())
        return output

    proposals, *layers = predictions
    output = plain(layers[-1], layers[-1])
    output['auxiliary_outputs'] = [plain(each, layers[-1]) for each in (proposals, *layers[:-1])]
    noised = [layer.noised for layer in layers]
    output['dn_auxiliary_outputs'] = [plain(each, noised[-1]) for each in noised]
    return output


@pytest.mark.parametrize(('name', 'kind'), [
    ('DEIMv2 on DINOv3', 'mal'), ('DEIMv2-N on HGNetV2', 'mal'), ('D-FINE', 'vfl'), ('D-FINE on HGNetV2', 'vfl')])
def test_losses_equal_transformers(name, kind, tmp_path):
    """With the same draws of noise: queries of all kinds, the union of matches, edges and distillation."""
    from transformers.loss.loss_deimv2 import Deimv2Loss
    theirs, ours = (build() for build in MODELS[name])
    with_weights_of(ours, theirs, tmp_path)
    for module in (*theirs.train().modules(), *ours.train().modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images = torch.randn(2, 3, 128, 192, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    raw = theirs.model(images, labels=LABELS)
    torch.manual_seed(0)
    predictions = ours(images, TARGETS)
    num_noised, num_queries = raw.denoising_meta_values['dn_num_split']
    for index, layer in enumerate(predictions[1:]):
        for field, expected in (('logits', raw.intermediate_logits), ('boxes', raw.intermediate_reference_points)):
            noised, found = expected[:, index].split((num_noised, num_queries), 1)
            assert_close(getattr(layer, field)[:, 0], found, 1e-4)
            assert_close(getattr(layer.noised, field).flatten(1, 2), noised, 1e-4)
    options = dict(use_dense_one_to_one=True, mal_alpha=None, weight_loss_mal=1.)
    config = theirs.config if kind == 'mal' else SimpleNamespace(**{**theirs.config.to_dict(), **options},
                                                                 num_labels=CLASSES)
    criterion = Deimv2Loss(config)
    if kind == 'vfl':
        criterion.losses[0] = 'vfl'
        criterion.weight_dict['loss_vfl'] = 1.
    output = arranged(predictions)
    output['denoising_meta_values'] = raw.denoising_meta_values
    expected = criterion(output, LABELS)
    found = DEIMLoss(CLASSES, class_loss=kind, gamma=2.)(predictions, TARGETS)
    names = {f'loss_{kind}': 'loss_cls', 'loss_bbox': 'loss_bbox', 'loss_giou': 'loss_iou', 'loss_fgl': 'loss_edge',
             'loss_ddf': 'loss_distill'}
    compared = set()
    for their_name, loss in expected.items():
        place = their_name.removeprefix(next(name for name in names if their_name.startswith(name)))
        own = names[their_name.removesuffix(place)]
        kind_of, _, number = place.lstrip('_').partition('_')
        last = number == str(len(predictions) - 2)
        own = {'': own, 'aux': f'd{number}.{own}',
               'dn': f'dn{"" if last else int(number or 0) + 1}.{own}'}[kind_of]
        if own in found:
            torch.testing.assert_close(found[own], loss, rtol=1e-4, atol=1e-5, check_dtype=False, msg=own)
            compared.add(own)
        else:
            assert 'distill' in own and not loss  # of the last layer with itself
    assert compared == found.keys() and len(compared) == 37


def test_union_of_matches__equals_transformers():
    """Three objects in one image and two in the other; a query that two layers match differently keeps one object."""
    from transformers.loss.loss_deimv2 import Deimv2Loss
    generator = torch.Generator().manual_seed(0)
    matches, indices = [], []
    for _ in range(5):
        layer = [(torch.randperm(4, generator=generator)[:count].sort().values,
                  torch.randperm(count, generator=generator)) for count in (3, 2)]
        indices.append(layer)
        images = torch.tensor([0, 0, 0, 1, 1])
        queries, objects = (torch.cat(part) for part in zip(*layer, strict=True))
        objects = objects + 3 * images
        matches.append(Pairs((images, torch.zeros_like(images), queries), objects, objects + 10, objects.view(-1, 1)))
    expected = Deimv2Loss._get_dense_o2o_indices(None, indices[0], indices[1:])
    found = most_frequent_pairs(matches)
    assert len(found.labels) == sum(len(queries) for queries, _ in expected)
    for image, (queries, objects) in enumerate(expected):
        own = found.queries[0] == image
        counts = {(query, item): sum((query, item) in zip(*(x.tolist() for x in layer[image]), strict=True)
                                     for layer in indices) for query in range(4) for item in range(3)}
        for pairs in (zip(queries.tolist(), objects.tolist(), strict=True),
                      zip(found.queries[2][own].tolist(), (found.objects[own] - 3 * image).tolist(), strict=True)):
            pairs = dict(pairs)
            assert pairs.keys() == {query for query, item in counts if counts[query, item]}
            assert all(counts[pair] == max(counts[pair[0], item] for item in range(3)) for pair in pairs.items())
    assert torch.equal(found.labels, found.objects + 10) and torch.equal(found.boxes[:, 0], found.objects)


def test_without_denoising_and_wrong_options():
    network = our_deim('pyramid', num_denoising=0).train()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    assert not any(each.noised for each in network(images, TARGETS))
    with pytest.raises(ValueError, match='head.num_points has 2 numbers'):
        our_deim('pyramid', num_points=(4, 4))
    with pytest.raises(ValueError, match='backbone.out_indices'):
        DEIM(PlainViT(embed_dim=32, depth=2, num_heads=2, patch_size=16, out_indices=(0, 1)), CLASSES)
    with pytest.raises(ValueError, match='criterion.class_loss'):
        DEIMLoss(CLASSES, class_loss='focal')


def test_late_matching_is_the_authors():
    """Score times IoU from a share of the run on; before it, focal, L1 and GIoU costs."""
    official = official_deim().HungarianMatcher(
        dict(cost_class=2, cost_bbox=5, cost_giou=2), use_focal_loss=True, change_matcher=True, iou_order_alpha=4.,
        matcher_change_epoch=100)
    loss = DEIMLoss(CLASSES, late_matching=100 / 132, iou_power=4.)
    generator, differ = torch.Generator().manual_seed(0), 0
    for _ in range(4):
        logits = torch.randn(2, 10, CLASSES, generator=generator)
        boxes = torch.rand(2, 10, 4, generator=generator) * .4 + .3
        theirs = [dict(labels=target.labels, boxes=target.boxes) for target in TARGETS]
        found = {}
        for epoch in (99, 100):
            expected = official(dict(pred_logits=logits, pred_boxes=boxes), theirs, epoch=epoch)['indices']
            loss.set_progress(epoch * 3696 / (132 * 3696))
            found[epoch] = loss.match(EdgePrediction(logits.unsqueeze(1), boxes.unsqueeze(1)), TARGETS)
            assert torch.equal(found[epoch].queries[2], torch.cat([queries for queries, _ in expected]))
            assert torch.equal(found[epoch].objects, torch.cat([expected[0][1], expected[1][1] + 3]))
        differ += not torch.equal(found[99].objects, found[100].objects)
    assert differ

"""MaskFormer and its loss against transformers' and mmdetection's with the same random weights."""
import pytest
import torch
from official import assert_close
from randomised import randomise

from densevit import load_weights
from densevit.networks.segmentation import MaskFormerLoss, MaskFormerNet, MaskPrediction, MaskTarget

pytest.importorskip('transformers', reason='needs transformers')
from hf_swin import hf_swin_config, tiny_swin
from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation
from transformers.models.maskformer.configuration_maskformer import MaskFormerDetrConfig


def build(**options):
    sizes = dict(num_queries=5, embed_dim=32, num_heads=2, decoder_layers=3, ffn_dim=48, mask_dim=64)
    return MaskFormerNet(tiny_swin(), 4, **{**sizes, **options})


def transformers_model():
    decoder = MaskFormerDetrConfig(num_queries=5, d_model=32, decoder_layers=3, encoder_layers=3, dropout=0.,
                                   encoder_attention_heads=2, decoder_attention_heads=2, decoder_ffn_dim=48)
    return randomise(MaskFormerForInstanceSegmentation(MaskFormerConfig(
        backbone_config=hf_swin_config(), fpn_feature_size=32, mask_feature_size=64, decoder_config=decoder,
        num_labels=4)))


def targets(height, width):
    return [MaskTarget(torch.tensor([0, 3, 1]), torch.rand(3, height, width) > .6),
            MaskTarget(torch.tensor([2, 2]), torch.rand(2, height, width) > .3)]


def test_equals_transformers_with_all_intermediate_predictions_and_the_loss():
    theirs, ours = transformers_model(), build().eval()
    criterion = MaskFormerLoss(4)
    theirs.criterion.empty_weight.copy_(criterion.class_weights)
    load_weights(ours, theirs.state_dict())
    images, wanted = torch.randn(2, 3, 128, 192), targets(128, 192)
    after_layers = []
    for layer in theirs.model.transformer_module.decoder.layers:
        layer.register_forward_hook(lambda module, args, output: after_layers.append(output))
    expected = theirs(images, mask_labels=[target.masks.float() for target in wanted],
                      class_labels=[target.labels for target in wanted])
    predictions = ours(images)
    # transformers' own intermediate predictions leave out the norm that the authors' have.
    normed = [theirs.model.transformer_module.decoder.layernorm(x) for x in after_layers]
    pixels = expected.pixel_decoder_last_hidden_state
    assert_close([x.classes for x in predictions], [theirs.class_predictor(x) for x in normed])
    assert_close([x.masks for x in predictions],
                 [torch.einsum('bqd,bdhw->bqhw', theirs.mask_embedder(x), pixels) for x in normed])
    assert_close(predictions[-1], [expected.masks_queries_logits, expected.class_queries_logits])
    assert predictions[-1].masks.shape == (2, 5, 32, 48)
    torch.testing.assert_close(sum(criterion(predictions[-1:], wanted).values()), expected.loss, rtol=1e-4, atol=0.)


@pytest.mark.parametrize('encoder_layers', [0, 2])
@torch.no_grad()
def test_equals_mmdetection_with_and_without_an_encoder(encoder_layers):
    from mmdet.models.dense_heads import MaskFormerHead
    from mmdet.structures import DetDataSample
    from mmengine import ConfigDict
    layer = dict(self_attn_cfg=dict(embed_dims=32, num_heads=2, dropout=0., batch_first=True),
                 ffn_cfg=dict(embed_dims=32, feedforward_channels=48, num_fcs=2, ffn_drop=0.))
    positions = dict(num_feats=16, normalize=True)
    encoder = dict(encoder=dict(num_layers=encoder_layers, layer_cfg=layer), positional_encoding=positions)
    ours = build(encoder_layers=encoder_layers, mask_dim=32).eval()
    head = randomise(MaskFormerHead(
        ours.backbone.out_channels, 32, 32, num_things_classes=4, num_stuff_classes=0, num_queries=5,
        pixel_decoder=dict(type='mmdet.TransformerEncoderPixelDecoder', **encoder) if encoder_layers else dict(
            type='mmdet.PixelDecoder'),
        positional_encoding=positions,
        loss_cls=ConfigDict(type='mmdet.CrossEntropyLoss', class_weight=[1.] * 5),
        loss_mask=dict(type='mmdet.FocalLoss'), loss_dice=dict(type='mmdet.DiceLoss'),
        transformer_decoder=dict(num_layers=3, return_intermediate=True, layer_cfg=dict(
            layer, cross_attn_cfg=layer['self_attn_cfg']))))
    backbone = {f'backbone.{name}': value for name, value in randomise(tiny_swin()).state_dict().items()}
    load_weights(ours, {f'panoptic_head.{name}': value for name, value in head.state_dict().items()} | backbone)
    images = torch.randn(2, 3, 96, 160)
    samples = [DetDataSample(metainfo=dict(batch_input_shape=(96, 160), img_shape=(96, 160))) for _ in images]
    classes, masks = head([x.contiguous() for x in ours.backbone(images)], samples)
    predictions = ours(images)
    assert_close([x.masks for x in predictions], list(masks))
    assert_close([x.classes for x in predictions], list(classes))


def test_an_image_without_segments_and_broken_predictions_have_finite_matches():
    loss = MaskFormerLoss(4)
    empty = MaskTarget(torch.zeros(0, dtype=torch.long), torch.zeros(0, 16, 24, dtype=torch.bool))
    prediction = MaskPrediction(torch.randn(1, 5, 4, 6, requires_grad=True), torch.randn(1, 5, 5, requires_grad=True))
    losses = loss([prediction], [empty])
    assert losses['loss_mask'] == losses['loss_dice'] == 0
    sum(losses.values()).backward()
    assert prediction.masks.grad is not None
    masks, classes = torch.randn(5, 4, 6).half(), torch.randn(5, 5).half()
    masks[0], masks[1], classes[2] = float('inf'), float('nan'), float('nan')
    queries, segments = loss.match(MaskPrediction(masks, classes), targets(16, 24)[1])
    assert set(queries.tolist()) == {3, 4} and set(segments.tolist()) == {0, 1}


@torch.no_grad()
def test_the_batch_does_not_matter_and_wrong_widths_are_explained():
    model = randomise(build(encoder_layers=1))
    images = torch.randn(3, 3, 70, 100)
    for one, many in zip(model(images[1:2])[-1], model(images)[-1], strict=True):
        torch.testing.assert_close(one[0], many[1], rtol=1e-4, atol=1e-4 * many.std().item())
    with pytest.raises(ValueError, match='a multiple of 32'):
        build(embed_dim=48)

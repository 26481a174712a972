"""DPT against transformers' with the same weights, read through our reader; readouts, odd sizes and wrong arguments."""
import re

import pytest
import torch
from randomised import randomise

from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.dpt_decoder import DPTDecoder
from densevit.networks.segmentation import DPTNet, PixelClassificationLoss
from densevit.weights import WeightsError, load_weights

CHANNELS = (8, 12, 16, 20)
TINY = dict(embed_dim=32, depth=4, num_heads=2, img_size=64)


def backbone(**kwargs):
    return PlainViT(**{**TINY, 'out_indices': (0, 1, 2, 3), 'norm_out': False, **kwargs})


def build(readout='project', seed=0, **kwargs):
    options = dict(channels=CHANNELS, width=16, readout=readout, dropout=0., **kwargs)
    return randomise(DPTNet(backbone(), 5, **options), seed)


def transformers_dpt(readout, norm=True):
    transformers = pytest.importorskip('transformers')
    model = transformers.DPTForSemanticSegmentation(transformers.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=64,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=list(CHANNELS), fusion_hidden_size=16, num_labels=5,
        readout_type=readout, use_batch_norm_in_fusion_residual=norm, is_hybrid=False, layer_norm_eps=1e-6,
        neck_ignore_stages=[], semantic_classifier_dropout=0.))
    model.auxiliary_head.head[3].p = 0.
    return randomise(model, 1)


def neck_of(reference, images):
    """transformers' parts on images that are not square: its own forward does not tell the neck their size."""
    hidden = reference.dpt(images, output_hidden_states=True).hidden_states[1:]
    height, width = (side // 16 for side in images.shape[-2:])
    fused = reference.neck(list(hidden), height, width)
    return reference.head(fused), reference.auxiliary_head(fused[-1])


@pytest.mark.parametrize('readout', ['ignore', 'add', 'project'])
@pytest.mark.parametrize('norm', [True, False])
@torch.no_grad()
def test_equals_transformers(readout, norm):
    reference = transformers_dpt(readout, norm)
    model = build(readout, norm=norm, aux_level=-1)
    report = load_weights(model, reference.state_dict())
    assert not report.missing
    assert all('layernorm' in name or '.layers.0.residual_layer1.' in name for name in report.left)
    images = torch.randn(2, 3, 64, 64)
    _assert_close(model(images)[-1], reference(images).logits)
    # Both resize positions for other sizes, each in its own way.
    model.backbone.trunk.pos_embed.zero_()
    reference.dpt.embeddings.position_embeddings.zero_()
    images = torch.randn(2, 3, 64, 96)
    model.train(), reference.train()  # statistics of the batch
    expected, auxiliary = neck_of(reference, images)
    actual = model(images)
    assert [tuple(x.shape) for x in actual] == [(2, 5, 32, 48), (2, 5, 64, 96)]
    _assert_close(actual[0], auxiliary)
    _assert_close(actual[1], expected)


_SMP_NAMES = (
    (r'encoder\.model\.', 'backbone.trunk.'),
    (r'decoder\.projection_blocks\.(\d)\.project\.', r'decoder.reassemble.\1.readout.'),
    (r'decoder\.reassemble_blocks\.(\d)\.project_to_out_channel\.', r'decoder.reassemble.\1.project.'),
    (r'decoder\.reassemble_blocks\.(\d)\.upsample\.', r'decoder.reassemble.\1.resize.'),
    (r'decoder\.reassemble_blocks\.(\d)\.project_to_feature_dim\.', r'decoder.project.\1.'),
    (r'decoder\.fusion_blocks\.(\d)\.', r'decoder.fusion.\1.'),
    (r'residual_conv_block1\.', 'skip.'), (r'residual_conv_block2\.', 'refine.'),
    (r'conv_(\d)\.', r'conv\1.'), (r'batch_norm_(\d)\.', r'norm\1.'),
    (r'segmentation_head\.head\.', 'classify.'))


@pytest.mark.parametrize('readout, size', [('ignore', (64, 64)), ('add', (64, 96)), ('cat', (96, 160))])
def test_equals_segmentation_models_pytorch(readout, size):
    smp = pytest.importorskip('segmentation_models_pytorch')
    theirs = randomise(smp.DPT(
        'tu-vit_base_patch16_224', encoder_weights=None, encoder_output_indices=[0, 1, 2, 3], decoder_readout=readout,
        decoder_intermediate_channels=CHANNELS, decoder_fusion_channels=16, classes=5, dynamic_img_size=True,
        embed_dim=32, num_heads=2, img_size=64), 1).eval()  # of 12 blocks, four of which are read
    with torch.no_grad():  # the paper's fusion has no such unit before anything is fused; so it is an identity
        for parameter in theirs.decoder.fusion_blocks[0].residual_conv_block1.batch_norm_2.parameters():
            parameter.zero_()
    model = build('project' if readout == 'cat' else readout, aux_level=None).eval()

    def ours_of(name):
        for pattern, new in _SMP_NAMES:
            name = re.sub(pattern, new, name)
        return name

    state = {ours_of(name): tensor for name, tensor in theirs.state_dict().items()}
    missing, left = model.load_state_dict(state, strict=False)
    unread = re.compile(r'decoder\.fusion\.0\.skip\..+|backbone\.trunk\.(norm|head|blocks\.([4-9]|1\d))\..+')
    assert not missing and all(map(unread.fullmatch, left))
    images = torch.randn(2, 3, *size)
    actual, expected = model(images)[-1], theirs(images)
    _assert_close(actual.detach(), expected.detach())
    direction = torch.randn_like(expected)
    (actual * direction).sum().backward()
    (expected * direction).sum().backward()
    gradients = {ours_of(name): parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in model.named_parameters():
        error = (parameter.grad - gradients[name]).abs().max()
        assert error <= 1e-4 * gradients[name].abs().max(), name


def test_loss_equals_transformers():
    reference = transformers_dpt('project').train()
    model = build(aux_level=-1).train()
    load_weights(model, reference.state_dict())
    images, labels = torch.randn(2, 3, 64, 64), torch.randint(5, (2, 64, 64))
    labels[:, :9] = 255
    loss = PixelClassificationLoss(5, aux_weight=reference.config.auxiliary_loss_weight)
    actual = sum(loss(model(images), labels).values())
    expected = reference(images, labels=labels).loss
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=0)
    actual.backward()
    expected.backward()
    ours, theirs = model.backbone.trunk.cls_token.grad, reference.dpt.embeddings.cls_token.grad
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4 * theirs.abs().max().item())


def test_a_normed_backbone_is_not_filled_from_unnormed_levels():
    model = DPTNet(backbone(norm_out=True), 5, channels=CHANNELS, width=16, aux_level=-1)
    with pytest.raises(WeightsError, match='backbone.trunk.norm'):
        load_weights(model, transformers_dpt('project').state_dict())


@torch.no_grad()
def test_the_class_token_is_read_as_asked():
    """From a level on, a class token that is another changes the answer, unless it is ignored."""
    for readout in ['ignore', 'add', 'project']:
        model = build(readout)
        images = torch.randn(1, 3, 64, 96)
        levels = model.backbone.levels(images)
        maps, tokens = [level.feature_map() for level in levels], [level.x[:, 0] for level in levels]
        changed = [*tokens[:3], tokens[3] + torch.randn(32)]
        same = torch.equal(model.decoder(maps, tokens)[-1], model.decoder(maps, changed)[-1])
        assert same == (readout == 'ignore')


@torch.no_grad()
def test_pyramids_keep_their_strides():
    trunk = TimmPyramid('swin_tiny_patch4_window7_224', embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    model = randomise(DPTNet(trunk, 5, width=16))
    assert model.decoder.reassemble is None and model.decoder.readout == 'ignore'
    fused = model.decoder(model.backbone(torch.randn(1, 3, 75, 100)))
    assert [tuple(x.shape[-2:]) for x in fused] == [(5, 7), (10, 13), (19, 25), (38, 50)]


def test_auxiliary_predictions_are_made_in_training_from_the_level_asked_for():
    images = torch.randn(2, 3, 64, 64)
    for level, stride in [(-2, 4), (-1, 2), (0, 16)]:
        model = build(aux_level=level)
        assert [tuple(x.shape[-2:]) for x in model.train()(images)] == [(64 // stride, ) * 2, (64, 64)]
        assert len(model.eval()(images)) == 1
    assert len(build(aux_level=None).train()(images)) == 1


@torch.no_grad()
def test_registers_are_no_class_token():
    trunk = PlainViT('vit_small_patch14_reg4_dinov2', **{**TINY, 'patch_size': 16}, out_indices=(0, 1, 2, 3))
    model = randomise(DPTNet(trunk, 5, channels=CHANNELS, width=16))
    assert model.decoder.readout == 'project'
    tokens = trunk.levels(torch.randn(1, 3, 64, 64))[0]
    assert tokens.num_prefix == 5
    first = trunk.driver.embed(torch.zeros(1, 3, 64, 64)).x[0, 0]
    torch.testing.assert_close(first, trunk.trunk.cls_token[0, 0])


def test_wrong_arguments_are_explained():
    for message, options, trunk in [
        ('DPT reads 4 levels', {}, dict(out_indices=(1, 3))),
        ("choose 'ignore', 'add' or 'project'", dict(readout='mean'), {}),
        ('needs a plain ViT with a class token', dict(readout='add'), dict(class_token=False)),
        ('there are 4 fused maps', dict(aux_level=4), {}),
    ]:
        with pytest.raises(ValueError, match=message):
            DPTNet(backbone(**trunk), 5, **{'channels': CHANNELS, 'width': 16, **options})


def test_a_pyramid_has_no_readout():
    with pytest.raises(ValueError, match='belongs to a plain ViT'):
        DPTDecoder((8, 16, 32, 64), (4, 8, 16, 32), readout='add')


def _assert_close(actual, expected):
    assert actual.shape == expected.shape and expected.std() > .01
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * expected.std().item())

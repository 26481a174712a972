"""PlainViT runs timm's plain ViTs as timm does, and adds what dense tasks need."""

import pytest
import torch
from randomised import randomise
from trunk_families import KINDS, TINY, TRUNKS, build, timms_trunk

from densevit.backbones import PlainViT
from densevit.weights import WeightsError, load_weights


@pytest.mark.parametrize('family', TRUNKS)
@torch.no_grad()
def test_features_equal_timms(family):
    model = build(family, out_indices=(0, 2))
    images = torch.randn(2, 3, 5 * model.stride, 7 * model.stride)
    norm = {} if family == 'SAM' else {'norm': True}
    expected = timms_trunk(family, model).forward_intermediates(
        images, indices=[0, 2], intermediates_only=True, **norm)
    for ours, timms in zip(model(images), expected, strict=True):
        torch.testing.assert_close(ours, timms, rtol=0, atol=1e-5 * timms.std().item())


@pytest.mark.parametrize('family', KINDS)
@torch.no_grad()
def test_any_size_is_padded_and_the_batch_does_not_matter(family):
    model = build(family)
    for height, width in [(64, 96), (37, 61), (3, 100)]:
        images = torch.randn(3, 3, height, width)
        features, = model(images)
        assert features.shape == (3, 32, -(-height // model.stride), -(-width // model.stride))
        assert features.isfinite().all()
        torch.testing.assert_close(model(images[1:2])[0][0], features[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('family', [
    'DINOv2 with registers', 'DINOv3', 'PE core', 'mixed rotary', 'BEiT', 'BEiT shared', 'SAM'])
@torch.no_grad()
def test_prepended_queries_are_tokens_without_position(family):
    """Queries attend as any prefix token does: their order does not matter, and patches keep their own rotation."""
    model = build(family, window_size=0) if family == 'SAM' else build(family)
    tokens = model.embed(torch.randn(1, 3, 3 * model.stride, 4 * model.stride))
    queries = torch.randn(6, 32)
    forward = model.run(tokens.prepend(queries))
    backward = model.run(tokens.prepend(queries.flip(0)))
    torch.testing.assert_close(forward.x[:, :6].flip(1), backward.x[:, :6], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(forward.feature_map(), backward.feature_map(), rtol=1e-4, atol=1e-4)
    # Queries that nobody may attend to leave the sequence as it was.
    length = forward.x.shape[1]
    mask = torch.ones(1, 1, length, length, dtype=torch.bool)
    mask[..., :6] = False
    mask[..., :6, :6] = True
    alone = model.run(tokens)
    ignored = model.run(tokens.prepend(queries), attn_mask=mask)
    torch.testing.assert_close(ignored.feature_map(), alone.feature_map(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_windowed_block_refuses_a_mask():
    model = build('SAM', window_size=2)
    tokens = model.embed(torch.randn(1, 3, 64, 64)).prepend(torch.randn(2, 32))
    assert model.run(tokens).x.shape == (1, 18, 32)
    with pytest.raises(ValueError, match='give the blocks that need one to global_blocks'):
        model.run(tokens, attn_mask=torch.ones(1, 1, 18, 18, dtype=torch.bool))


def test_frozen_stages():
    model = PlainViT(img_size=64, patch_size=16, frozen_stages=2, pos_drop_rate=.5, **TINY).train()
    trainable = {name.split('.')[2] for name, p in model.named_parameters() if p.requires_grad and 'blocks' in name}
    assert trainable == {'2'}
    assert not model.trunk.patch_embed.proj.weight.requires_grad
    assert not model.trunk.pos_drop.training and not model.trunk.blocks[1].attn.training
    assert model.trunk.blocks[2].attn.training and model.trunk.norm.training
    assert model.trunk.norm.weight.requires_grad


def test_layer_index_follows_the_trunk():
    model = PlainViT(img_size=64, patch_size=16, class_token=True, **TINY)
    index = {name: model.layer_index(name) for name, _ in model.named_parameters()}
    assert index['trunk.cls_token'] == index['trunk.pos_embed'] == index['trunk.patch_embed.proj.weight'] == 0
    assert index['trunk.blocks.0.attn.qkv.weight'] == 1 and index['trunk.blocks.2.mlp.fc1.bias'] == 3
    assert index['trunk.norm.weight'] == 4


def test_properties_tell_what_decoders_ask_for():
    """Class token, final norm, windows, stochastic depth, stem, kernel of the patches."""
    plain = PlainViT(img_size=64, patch_size=16, drop_path_rate=.2, **TINY)
    assert plain.has_class_token and plain.has_final_norm and not plain.has_stem and plain.windowed_blocks == ()
    assert plain.drop_path_rate == pytest.approx(.2) and plain.patch_kernel[0].shape == (32, 3, 16, 16)
    bare = PlainViT(img_size=64, keep_prefix=False, norm_out=False, window_size=2, global_blocks=1, **TINY)
    assert not bare.has_class_token and not bare.has_final_norm and bare.drop_path_rate == 0
    assert bare.windowed_blocks == (0, 2)
    assert PlainViT(family='sam', img_size=64, window_size=2, out_indices=0, **TINY).windowed_blocks == (0, )
    assert not build('SAM').has_class_token


@torch.no_grad()
def test_stem__what_no_map_reads_is_not_trained():
    """Processes that train together wait for the gradient of every parameter."""
    model = PlainViT(img_size=64, stem={'model_name': 'tf_efficientnet_lite0', 'out_indices': (3, )}, embed_dim=16,
                     depth=1, num_heads=2, class_token=False)
    with torch.enable_grad():
        model(torch.randn(1, 3, 64, 96))[-1].square().sum().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert idle and idle == [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert all('.blocks.5.' in name or '.blocks.6.' in name for name in idle)


def test_stem_out__comes_before_the_blocks():
    """As it is in the sequence, and cut to what the image fills."""
    model = PlainViT(
        img_size=64, stem={'model_name': 'resnet10t', 'out_indices': (1, 2, 3)}, stem_out=(0, 1), out_indices=(0, 1),
        class_token=False, embed_dim=32, depth=2, num_heads=2).eval()
    assert model.strides == (4, 8, 16, 16) and model.out_channels == (64, 128, 32, 32)
    images = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        maps, stem = model(images), model.embed(images).stem
    assert [tuple(each.shape[-2:]) for each in maps] == [(13, 18), (7, 9), (4, 5), (4, 5)]
    assert torch.equal(maps[0], stem[0][..., :13, :18])
    with pytest.raises(ValueError, match='stem_out'):
        PlainViT(img_size=64, embed_dim=32, depth=2, num_heads=2, stem_out=(0, ))


def test_hybrid_stem():
    model = randomise(PlainViT(
        img_size=64, stem={'model_name': 'resnet10t', 'out_indices': (1, 2, 3)}, class_token=False,
        no_embed_class=True, **TINY)).eval()
    assert (model.stride, model.stem_strides, model.stem_channels) == (16, (4, 8, 16), (64, 128, 256))
    assert model.has_stem and model.patch_kernel[0].shape == (32, 256, 1, 1)
    images = torch.randn(2, 3, 50, 70)
    tokens = model.embed(images)
    assert tokens.grid == (4, 5) and [tuple(s.shape[-2:]) for s in tokens.stem] == [(16, 20), (8, 10), (4, 5)]
    assert model(images)[0].shape == (2, 32, 4, 5)
    padded = torch.nn.functional.pad(images, (0, 10, 0, 14))
    expected, _ = model.trunk.forward_intermediates(padded, indices=[2])
    torch.testing.assert_close(model.norm(model.run(tokens)).x, expected, rtol=1e-4, atol=1e-4)


def test_in_channels__of_an_image_and_of_a_stem():
    stem = dict(model_name='resnet10t', out_indices=(1, 2, 3))
    assert PlainViT(img_size=64, **TINY).in_channels == PlainViT(img_size=64, stem=stem, **TINY).in_channels == 3
    model = PlainViT(img_size=64, stem=stem, in_chans=4, **TINY)
    assert PlainViT(img_size=64, in_chans=4, **TINY).in_channels == model.in_channels == 4
    assert model(torch.randn(1, 4, 64, 64))[0].shape == (1, 32, 4, 4)


@torch.no_grad()
def test_timms_own_hybrids():
    model = randomise(PlainViT('vit_tiny_r_s16_p8_224', **TINY))
    assert model(torch.randn(2, 3, 64, 96))[0].shape == (2, 32, 2, 3)
    assert model.stem_strides == ()


@pytest.mark.parametrize('family', KINDS)
@torch.no_grad()
def test_blocks_behind_the_last_map_are_left_out(family):
    """And those of a checkpoint of the whole model are left."""
    whole, part = build(family, out_indices=(0, 1)), build(family, out_indices=(-2, 0), window_size=2)
    assert (part.depth, part.full_depth, part.out_indices) == (2, 3, (1, 0))
    assert part.layer_index('trunk.norm.weight') == 3
    assert {name.split('.')[2] for name in part.state_dict() if '.blocks.' in name} == {'0', '1'}
    part = build(family, out_indices=(0, 1))
    full = build(family)
    for source in (full.state_dict(), full.trunk.state_dict()):
        report = load_weights(randomise(part, seed=1), source)
        assert {name.removeprefix('trunk.').split('.')[1] for name in report.left if 'blocks' in name} == {'2'}
        assert not report.missing
    images = torch.randn(1, 3, 2 * full.stride, 3 * full.stride)
    tokens = full.run(full.embed(images), 0, 1)
    for ours, expected in zip(part(images), (tokens, full.run(tokens, 1, 2)), strict=True):
        torch.testing.assert_close(ours, full.norm(expected).feature_map())
    whole.load_state_dict(part.state_dict())


def test_every_parameter_of_early_maps_learns():
    model = randomise(PlainViT(img_size=64, out_indices=1, **TINY)).train()
    sum((x * torch.randn_like(x)).sum() for x in model(torch.randn(2, 3, 32, 48))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_blocks_that_were_not_left_out_have_to_fit():
    with pytest.raises(WeightsError, match='blocks.2'):
        load_weights(PlainViT(img_size=64, **dict(TINY, depth=2)), PlainViT(img_size=64, **TINY).state_dict())


def test_global_blocks_count_from_the_end_of_the_whole_model():
    model = PlainViT(img_size=64, window_size=2, global_blocks=-2, out_indices=(0, 1), **TINY)
    attention = [type(block.attn).__name__ for block in model.trunk.blocks]
    assert attention == ['WindowedAttention', 'Attention']


def test_pretrained_needs_a_name():
    for kwargs in [{}, dict(family='sam')]:
        with pytest.raises(ValueError, match='pretrained=True needs the name'):
            PlainViT(pretrained=True, **kwargs, **TINY)


def test_frozen_stages_that_there_are_not():
    for frozen_stages in [5, 100, -2, None, True]:
        with pytest.raises(ValueError, match='choose from -1 .* 1 to 4'):
            PlainViT(img_size=64, frozen_stages=frozen_stages, **TINY)
        assert not any(p.requires_grad for p in PlainViT(img_size=64, frozen_stages=4, **TINY).parameters())


def test_names_that_are_not_for_it():
    for name, error, said in [
        ('vit_smal_patch16_224', ValueError, "no model 'vit_smal_patch16_224'; near it are vit_small_patch16_224"),
        ('vit_small_patch16_224.foo', ValueError, "no weights 'foo'; there are .*vit_small_patch16_224.dino"),
        ('deit_tiny_distilled_patch16_224', ValueError, 'distillation tokens.*take deit_tiny_patch16_224'),
        ('naflexvit_base_patch16_gap', TypeError, 'of timm.models.naflexvit, is not a plain ViT'),
        ('resnet18', TypeError, 'of timm.models.resnet, is not a plain ViT .* densevit.TimmPyramid'),
    ]:
        with pytest.raises(error, match=said):
            PlainViT(name, **(TINY if 'vit_small' in name else {}))


def test_wrong_options_are_explained():
    for kwargs, error, said in [
        (dict(patch_sise=16), TypeError, "no option 'patch_sise'.* near it are patch_size"),
        (dict(frozen_stage=1), TypeError, 'near it are frozen_stages'),
        (dict(name='beit_base_patch16_224', use_rel_pos_bia=True), TypeError, 'near it are use_rel_pos_bias'),
        (dict(out_indices='last'), ValueError, "out_indices holds indices, such as"),
        (dict(out_indices=()), ValueError, 'names no block'),
        (dict(global_blocks=(1., ), window_size=2), ValueError, 'global_blocks holds indices'),
        (dict(pos_embed_grid=(4, 4, 4)), ValueError, r'pos_embed_grid is \(height, width\)'),
        (dict(pos_embed_grid='4'), ValueError, r'pos_embed_grid is \(height, width\)'),
        (dict(num_heads=5), ValueError, 'divisible'),
    ]:
        with pytest.raises(error, match=said):
            PlainViT(**{**TINY, 'img_size': 64, **kwargs})


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match='out_indices holds 3, but there are blocks 0 to 2'):
        PlainViT(img_size=64, out_indices=(3, ), **TINY)
    with pytest.raises(TypeError, match='not a plain ViT'):
        PlainViT('swin_tiny_patch4_window7_224', img_size=64)


@pytest.mark.parametrize('options', [dict(), dict(class_token=False), dict(family='sam')])
def test_sine_init__positions_are_those_of_mae(options):
    sizes = dict(img_size=(32, 64), patch_size=16, embed_dim=32, depth=1, num_heads=2)
    torch.manual_seed(0)
    plain = PlainViT(**sizes, **options)
    torch.manual_seed(0)
    sines = PlainViT(**sizes, **options, sine_init=True)
    before, after = (vit.trunk.pos_embed.flatten(1, -2) for vit in (plain, sines))
    rows, columns = after[0, -8:].unflatten(0, (2, 4)).unflatten(2, (2, 2, 8)).unbind(3)
    waves = 10000**(torch.arange(8) / 8)
    for found, angles in ((rows[:, 3], torch.arange(2.).unsqueeze(1) / waves),
                          (columns[1], torch.arange(4.).unsqueeze(1) / waves)):
        torch.testing.assert_close(found, torch.stack((angles.sin(), angles.cos()), dim=1))
    assert torch.equal(after[:, :-8], before[:, :-8])  # of the class token


def test_sine_init__refuses_what_has_no_use_for_it():
    for options, message in [
        (dict(name='vit_small_patch16_dinov3', embed_dim=32, num_heads=2), 'no learned positions'),
        (dict(img_size=32, patch_size=16, embed_dim=30, num_heads=3), 'divisible by 4'),
        (dict(name='vit_small_patch16_224', pretrained=True), 'leave one of them out'),
    ]:
        with pytest.raises(ValueError, match=message):
            PlainViT(**options, depth=1, sine_init=True)

"""Windowed attention of PlainViT, for every kind of trunk."""
import copy
import pickle
from dataclasses import replace

import pytest
import torch
from trunk_families import KINDS, TINY, build

from densevit.backbones import PlainViT


def images_of(model, rows, columns, batch=2):
    return torch.randn(batch, 3, rows * model.stride, columns * model.stride)


def global_model(family, **kwargs):
    """The same parameters without windows; SAM's tables keep the size of a window."""
    model = build(family, **kwargs)
    for block in model.trunk.blocks if family == 'SAM' else ():
        block.window_size = 0
    model.driver.windows = replace(model.driver.windows, windowed=())
    return model


@pytest.mark.parametrize('family', KINDS)
@torch.no_grad()
def test_a_window_is_to_its_block_what_an_image_of_its_size_is(family):
    model, size = build(family, window_size=3, global_blocks=(2, )), 3
    whole = global_model(family, window_size=3, global_blocks=(2, ))
    tokens = model.embed(images_of(model, 6, 9))
    out = model.run(tokens, 0, 1)
    for row in range(2):
        for column in range(3):
            rows, columns = slice(row * size, row * size + size), slice(column * size, column * size + size)
            patches = tokens.patches.unflatten(1, tokens.grid)[:, rows, columns].flatten(1, 2)
            x = torch.cat((tokens.x[:, :tokens.num_prefix], patches), dim=1)
            expected = whole.run(replace(tokens, x=x, grid=(size, size), rope=tokens.window_rope), 0, 1)
            torch.testing.assert_close(out.feature_map()[..., rows, columns], expected.feature_map(),
                                       rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('family', [family for family in KINDS if family != 'SAM'])
@torch.no_grad()
def test_windows_as_large_as_the_image_are_global_attention(family):
    windowed, whole = build(family, window_size=5), build(family)
    whole.load_state_dict(windowed.state_dict())
    images = images_of(windowed, 5, 5)
    torch.testing.assert_close(windowed(images)[0], whole(images)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('family', ['AugReg', 'DINOv2 with registers', 'mixed rotary'])
@pytest.mark.parametrize('shift', [False, True])
@torch.no_grad()
def test_padded_and_shifted_windows_equal_masked_global_attention(family, shift):
    """Of trunks whose attention knows no positions, or relative ones alone: who sees whom is all there is."""
    windowed = build(family, window_size=3, window_shift=shift, keep_prefix=False)
    whole = build(family, keep_prefix=False)
    whole.load_state_dict(windowed.state_dict())
    tokens = windowed.embed(images_of(windowed, 5, 7))
    out, expected = windowed.run(tokens), tokens
    for index in range(3):
        by = 1 if shift and index == 1 else 0
        place = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(7), indexing='ij'), -1).flatten(0, 1)
        window, wrapped = (place - by) % torch.tensor([6, 9]) // 3, place < by
        mask = ((window[:, None] == window) & (wrapped[:, None] == wrapped)).all(-1)
        expected = whole.run(expected, index, index + 1, attn_mask=mask[None, None].expand(2, -1, -1, -1))
    torch.testing.assert_close(out.x, expected.x, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_prefix_copies_are_averaged_after_attention():
    model = build('DINOv2 with registers', window_size=2)
    tokens = model.embed(images_of(model, 2, 4))
    block = model.trunk.blocks[0]
    x = block.norm1(tokens.x)
    prefix, patches = x[:, :5], x[:, 5:].unflatten(1, (2, 4))
    halves = [block.attn(torch.cat((prefix, part.flatten(1, 2)), dim=1)) for part in patches.split(2, dim=2)]
    attended = torch.stack(halves)[:, :, :5].mean(0)
    expected = tokens.x[:, :5] + block.ls1(attended)
    expected = expected + block.ls2(block.mlp(block.norm2(expected)))
    torch.testing.assert_close(model.run(tokens, 0, 1).x[:, :5], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('family', KINDS)
@torch.no_grad()
def test_any_size_and_the_batch_does_not_matter(family):
    for shift in [False, True]:
        model = build(family, window_size=3, global_blocks=(2, ), window_shift=shift)
        for height, width in [(96, 96), (37, 131), (3, 100)]:
            images = torch.randn(3, 3, height, width)
            features, = model(images)
            assert features.shape == (3, 32, -(-height // model.stride), -(-width // model.stride))
            assert features.isfinite().all()
            torch.testing.assert_close(model(images[1:2])[0][0], features[1], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_shifted_windows_change_every_second_windowed_block():
    straight, shifted = build('AugReg', window_size=2), build('AugReg', window_size=2, window_shift=True)
    tokens = straight.embed(images_of(straight, 4, 4))
    assert torch.equal(straight.run(tokens, 0, 1).x, shifted.run(tokens, 0, 1).x)
    assert not torch.allclose(straight.run(tokens, 1, 2).x, shifted.run(tokens, 1, 2).x, atol=1e-2)
    assert torch.equal(straight.run(tokens, 2, 3).x, shifted.run(tokens, 2, 3).x)


@torch.no_grad()
def test_pads_of_the_official_form_take_attention():
    masked, official = build('AugReg', window_size=3), build('AugReg', window_size=3, pad_mode='official')
    fits, padded = images_of(masked, 3, 6), images_of(masked, 4, 6)
    torch.testing.assert_close(masked(fits)[0], official(fits)[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(masked(padded)[0], official(padded)[0], atol=1e-2)


@pytest.mark.parametrize('family', ['DINOv2 with registers', 'DINOv3', 'mixed rotary', 'BEiT'])
@torch.no_grad()
def test_prepended_queries_see_every_window(family):
    model = build(family, window_size=2, global_blocks=(1, ))
    tokens = model.embed(images_of(model, 3, 4))
    queries = torch.randn(6, 32)
    forward, backward = model.run(tokens.prepend(queries)), model.run(tokens.prepend(queries.flip(0)))
    torch.testing.assert_close(forward.x[:, :6].flip(1), backward.x[:, :6], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(forward.feature_map(), backward.feature_map(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('family', KINDS)
def test_recomputed_blocks_give_the_same_gradients_to_every_parameter(family):
    """With another size in between: what a block needs is not read from the module."""
    for keep_prefix in [True, False]:
        model = build(family, window_size=2, global_blocks=(1, ), keep_prefix=keep_prefix, norm_out=False).train()
        images, others = images_of(model, 3, 3, batch=1), images_of(model, 4, 5, batch=1)
        gradients = []
        for checkpointing in (False, True):
            model.grad_checkpointing = checkpointing
            model.zero_grad()
            loss = model(images)[0].square().sum()
            model(others)
            loss.backward()
            missing = [name for name, p in model.named_parameters() if p.grad is None]
            assert not missing
            gradients.append([p.grad.clone() for p in model.parameters()])
        for plain, recomputed in zip(*gradients, strict=True):
            torch.testing.assert_close(plain, recomputed)


def test_copies_run_their_own_trunk():
    """As an EMA copy or a model sent to another process does."""
    for family in KINDS:
        model = build(family, window_size=2)
        images = images_of(model, 3, 3)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            with torch.no_grad():
                assert torch.equal(model(images)[0], other(images)[0])
                other.trunk.blocks[0].attn.qkv.weight.zero_()
                assert not torch.equal(model(images)[0], other(images)[0])


def test_windows_and_a_lost_prefix_change_no_names():
    for family in KINDS:
        plain, windowed = build(family), build(family, window_size=2, pos_embed_grid=None)
        assert plain.state_dict().keys() == windowed.state_dict().keys()
        without = build(family, keep_prefix=False)
        before, after = plain.state_dict().keys(), without.state_dict().keys()
        assert before - after <= {'trunk.cls_token', 'trunk.reg_token'} and after <= before
        assert without.num_prefix_tokens == without.embed(images_of(without, 2, 3)).num_prefix == 0


@pytest.mark.parametrize('family', ['DINOv3', 'EVA-02', 'mixed rotary'])
@torch.no_grad()
def test_without_a_prefix_every_patch_is_rotated(family):
    """Equal to keeping the prefix tokens and hiding them from all patches."""
    kept, without = build(family), build(family, keep_prefix=False)
    state = {name: tensor for name, tensor in kept.state_dict().items() if name in without.state_dict()}
    num_prefix = kept.num_prefix_tokens
    if 'trunk.pos_embed' in state:
        state['trunk.pos_embed'] = state['trunk.pos_embed'][:, -without.trunk.pos_embed.shape[1]:]
    without.load_state_dict(state)
    images = images_of(kept, 3, 4)
    tokens = kept.embed(images)
    mask = torch.ones(2, 1, tokens.x.shape[1], tokens.x.shape[1], dtype=torch.bool)
    mask[..., num_prefix:, :num_prefix] = False
    expected = kept.norm(kept.run(tokens, attn_mask=mask)).feature_map()
    torch.testing.assert_close(without(images)[0], expected, rtol=1e-4, atol=1e-4)


def test_wrong_windows_are_explained():
    def refuse(match, name='vit_small_patch16_224', **kwargs):
        with pytest.raises(ValueError, match=match):
            PlainViT(name, **{**TINY, **kwargs})

    refuse('global_blocks belongs to windowed attention; set window_size', global_blocks=(1, ))
    refuse('window_shift belongs to windowed attention', window_shift=True)
    refuse("pad_mode='official' belongs to windowed attention", pad_mode='official')
    refuse("pad_mode is 'masked' or 'official', not 'zero'", window_size=2, pad_mode='zero')
    refuse('global_blocks holds 3, but there are blocks 0 to 2', window_size=2, global_blocks=(3, ))
    refuse('neither rotary positions', 'vit_small_patch16_dinov3', window_size=2, pad_mode='official')
    refuse('no official BEiT has windows', 'beit_base_patch16_224', window_size=2, pad_mode='official')
    refuse('no official code shifts', window_size=2, window_shift=True, pad_mode='official')
    refuse('ParallelScalingBlock has no attention that can be put into windows', 'vit_xsmall_patch16_clip_224',
           window_size=2, block_fn=parallel_block())
    refuse("family is 'vit' or 'sam'", None, family='swin')


def parallel_block():
    from timm.models.vision_transformer import ParallelScalingBlock
    return ParallelScalingBlock


def test_a_windowed_block_refuses_a_mask_of_the_caller():
    model = build('AugReg', window_size=2, global_blocks=(1, ))
    tokens = model.embed(images_of(model, 2, 2))
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    assert model.run(tokens, 1, 2, attn_mask=mask).x.isfinite().all()
    with pytest.raises(ValueError, match='a windowed block takes no attn_mask'):
        model.run(tokens, attn_mask=mask)


@pytest.mark.parametrize('family', [family for family in KINDS if family != 'SAM'])
@torch.no_grad()
def test_num_windows_divides_the_image(family):
    """Each of 2x2 rectangles is to its block what an image of its size is; odd sizes are padded and masked."""
    model = build(family, num_windows=2, global_blocks=(2, ))
    whole = global_model(family, num_windows=2, global_blocks=(2, ))
    tokens = model.embed(images_of(model, 4, 6))
    out = model.run(tokens, 0, 1)
    for rows, columns in ((slice(0, 2), slice(3, 6)), (slice(2, 4), slice(0, 3))):
        patches = tokens.patches.unflatten(1, tokens.grid)[:, rows, columns].flatten(1, 2)
        x = torch.cat((tokens.x[:, :tokens.num_prefix], patches), dim=1)
        expected = whole.run(replace(tokens, x=x, grid=(2, 3), rope=tokens.window_rope), 0, 1)
        torch.testing.assert_close(out.feature_map()[..., rows, columns], expected.feature_map(), rtol=1e-4, atol=1e-4)
    images = images_of(model, 5, 3)
    torch.testing.assert_close(model(images[:1])[-1], model(images)[-1][:1], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_prefix_per_window():
    """A window's class token knows of its window alone until a global block, and of all patches behind it."""
    model = build('DINOv2 with registers', num_windows=2, prefix_per_window=True, global_blocks=(2, ))
    own = model.num_prefix_tokens // 4
    assert own and model.num_prefix_tokens == 4 * own
    images = images_of(model, 4, 6)
    changed = images.clone()
    changed[..., :2 * model.stride, :3 * model.stride] += 1.
    before, after = (model.run(model.embed(x), 0, 2) for x in (images, changed))
    moved = (before.x - after.x)[:, :4 * own].abs().amax(-1).unflatten(1, (4, own)) > 1e-6
    assert moved[:, 0].all() and not moved[:, 1:].any()
    before, after = (model.run(tokens, 2, 3) for tokens in (before, after))
    assert ((before.x - after.x).abs().amax(-1) > 1e-7).all()
    assert model(images_of(model, 5, 3))[-1].shape[-2:] == (5, 3)


def test_num_windows__options_that_do_not_go_together():
    for options, message in ((dict(num_windows=2, window_size=3), 'leave one of them out'),
                             (dict(prefix_per_window=True), 'set num_windows'),
                             (dict(num_windows=0), 'number of windows')):
        with pytest.raises(ValueError, match=message):
            PlainViT(**TINY, **options)
    with pytest.raises(ValueError, match='num_windows: a SAM trunk'):
        build('SAM', num_windows=2)
    for family in ('DINOv3', 'BEiT', 'mixed rotary'):
        with pytest.raises(ValueError, match='prefix_per_window: positions'):
            build(family, num_windows=2, prefix_per_window=True)

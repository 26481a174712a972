"""The trunk of SAM and ViTDet, by name and from explicit sizes."""
import pytest
import torch
from randomised import randomise
from trunk_families import TINY, build

from densevit.backbones import PlainViT
from densevit.backbones.trunks.sam import GridLayout


def windows_of(model):
    return [block.window_size for block in model.trunk.blocks]


def test_options_override_timms_windows():
    name = dict(name='samvit_base_patch16', img_size=64, **TINY)
    assert windows_of(PlainViT(**name)) == [14, 14, 0]
    assert windows_of(PlainViT(**name, window_size=3)) == [3, 3, 0]
    assert windows_of(PlainViT(**name, window_size=3, global_blocks=(0, -1))) == [0, 3, 0]
    assert windows_of(PlainViT(**name, window_size=0)) == [0, 0, 0]
    model = PlainViT(family='sam', img_size=64, window_size=3, global_blocks=(1, ), **TINY)
    assert windows_of(model) == [3, 0, 3]
    assert [len(block.attn.rel_pos_h) for block in model.trunk.blocks] == [5, 7, 5]
    assert not any(isinstance(part, torch.nn.Conv2d) for part in model.trunk.neck.modules())


@torch.no_grad()
def test_pads_are_official_unless_masked():
    """SAM's weights are used to pads that are zeros; both forms agree where nothing is padded."""
    default, official, masked = (build('SAM', window_size=3, pad_mode=mode) for mode in (None, 'official', 'masked'))
    fits, padded = torch.randn(1, 3, 48, 96), torch.randn(1, 3, 64, 80)
    assert torch.equal(default(padded)[0], official(padded)[0])
    torch.testing.assert_close(masked(fits)[0], official(fits)[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(masked(padded)[0], official(padded)[0], atol=1e-2)


@torch.no_grad()
def test_masked_windows_do_not_see_pads():
    """A block without an axis of pads: the rows of a lower window that is cut are an image of that height."""
    model = randomise(PlainViT(family='sam', img_size=64, window_size=4, pad_mode='masked', use_rel_pos=False, **TINY))
    tokens = model.embed(torch.randn(1, 3, 96, 64))
    lower = tokens.patches.unflatten(1, tokens.grid)[:, 4:]
    block = model.trunk.blocks[0]
    attended = block.attn(block.norm1(lower).flatten(1, 2), GridLayout(tuple(lower.shape[1:3])))
    expected = lower + block.ls1(attended.unflatten(1, lower.shape[1:3]))
    expected = expected + block.ls2(block.mlp(block.norm2(expected)))
    actual = model.run(tokens, 0, 1).feature_map()[:, :, 4:].permute(0, 2, 3, 1)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_stochastic_depth_drops_whole_images():
    """timm drops windows, each for itself."""
    torch.manual_seed(0)  # one image in four is dropped
    model = build('SAM', window_size=2, drop_path_rate=.5).train()
    tokens = model.embed(torch.randn(8, 3, 64, 64))
    block = model.trunk.blocks[1].train()
    block.window_size, block.mlp.fc2.weight.data, block.mlp.fc2.bias.data = 2, torch.zeros(32, 128), torch.zeros(32)
    added = (block(tokens.x.unflatten(1, tokens.grid)) - tokens.x.unflatten(1, tokens.grid)).abs().amax(-1)
    dropped = (added == 0).flatten(1)
    assert torch.equal(dropped.all(1), dropped.any(1)) and 0 < dropped.all(1).sum() < 8


def test_rotary_positions_are_refused():
    with pytest.raises(ValueError, match='rotary positions .use_rope. has them at one size only'):
        PlainViT(family='sam', img_size=64, use_rel_pos=False, use_rope=True, **TINY)


@torch.no_grad()
def test_bands_of_queries_change_nothing(monkeypatch):
    """Prediction with the relative positions of a row or two of queries at once, within windows and globally."""
    model = randomise(PlainViT(family='sam', img_size=64, window_size=3, global_blocks=(1, ), **TINY))
    images = torch.randn(2, 3, 80, 112, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        expected = model(images)[0].detach()
    for limit in (1, 4000):
        monkeypatch.setattr('densevit.backbones.trunks.sam._BAND_BYTES', limit)
        torch.testing.assert_close(model(images)[0], expected, rtol=1e-4, atol=1e-4)

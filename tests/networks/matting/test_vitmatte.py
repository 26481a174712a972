"""ViTMatte against transformers', with the same random weights under its names and under its authors'."""
import re

import pytest
import torch
from networks.depth.parity import close
from randomised import randomise

from densevit import PlainViT, load_weights
from densevit.networks.matting import ViTMatte
from densevit.weights.translate import translate

transformers = pytest.importorskip('transformers')
VIT = dict(family='sam', img_size=64, patch_size=16, in_chans=4, embed_dim=32, depth=4, num_heads=2, window_size=3,
           global_blocks=(1, 3), use_rel_pos=True, pos_embed_grid=4, pos_embed_antialias=False)
DECODER = dict(detail_channels=(6, 8, 12), fusion_channels=(16, 12, 8, 8))


def build(**options):
    return ViTMatte(PlainViT(**{**VIT, **options}), (1, 3), **DECODER)


def reference():
    backbone = transformers.VitDetConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=64, pretrain_image_size=64,
        patch_size=16, num_channels=4, window_size=3, window_block_indices=[0, 2], residual_block_indices=[1, 3],
        use_relative_position_embeddings=True, out_features=['stage4'])
    return transformers.VitMatteForImageMatting(transformers.VitMatteConfig(
        backbone_config=backbone, hidden_size=32, convstream_hidden_sizes=list(DECODER['detail_channels']),
        fusion_hidden_sizes=list(DECODER['fusion_channels']))).eval()


def images(height, width, count=2):
    generator = torch.Generator().manual_seed(height)
    trimap = torch.randint(3, (count, 1, height, width), generator=generator) / 2
    return torch.cat((torch.randn(count, 3, height, width, generator=generator), trimap), dim=1)


def by_authors(state):
    """Names of transformers as those of the authors."""
    rules = ((r'backbone\.encoder\.layer\.', 'backbone.blocks.'), (r'\.attention\.', '.attn.'),
             (r'embeddings\.projection', 'patch_embed.proj'), (r'embeddings\.position_embeddings', 'pos_embed'),
             (r'fusion_blocks', 'fusion_blks'), (r'batch_norm', 'bn'))
    renamed = {}
    for name, tensor in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize('naming', [dict, by_authors])
def test_equals_transformers(naming):
    """At the size of the positions and at another that is not square: opacities, and gradients of every parameter."""
    theirs = randomise(reference(), 1)
    with torch.no_grad():  # what follows saturates
        theirs.decoder.matting_head.matting_convs[3].weight.mul_(.1)
    ours = randomise(build(), 2)
    assert not load_weights(ours, naming(theirs.state_dict())).missing
    for size in ((64, 64), (96, 160)):
        theirs.zero_grad()
        ours.zero_grad()
        alpha, expected = ours(images(*size)), theirs(images(*size)).alphas[:, 0]
        assert expected.std() > .1
        close(alpha, expected, 1e-4, 'opacity')
        direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5))
        (alpha * direction).sum().backward()
        (expected * direction).sum().backward()
        gradients = translate(naming({name: parameter.grad for name, parameter in theirs.named_parameters()}), ours)
        own = {name: parameter.grad for name, parameter in ours.named_parameters()}
        assert gradients.state.keys() == own.keys()
        for name, gradient in gradients.state.items():
            if name == 'backbone.trunk.pos_embed':  # theirs has a place for a class token, which nothing reads
                gradient = gradient[:, 1:]
            close(own[name], gradient.reshape(own[name].shape), 1e-3, name)


@torch.no_grad()
@pytest.mark.parametrize('size', [(32, 64), (416, 224), (992, 64)])
def test_bands_change_nothing(size, monkeypatch):
    """The decoder in prediction, in bands of a few rows, against the same with whole maps."""
    network, shown = randomise(build(), 3).double(), images(*size, count=1).double()  # random weights enlarge rounding
    with torch.enable_grad():
        expected = network(shown).detach()
    for pixels in (1, 5000):
        monkeypatch.setattr('densevit.networks.matting.vitmatte._BAND_PIXELS', pixels)
        torch.testing.assert_close(network(shown), expected, rtol=0, atol=1e-6)


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match='in_chans=4'):
        build(in_chans=3)
    with pytest.raises(ValueError, match='no block 3 of 2'):
        ViTMatte(PlainViT(**dict(VIT, depth=2, global_blocks=(1, ))), (1, 3), **DECODER)
    with pytest.raises(ValueError, match='as make its stride'):
        build(patch_size=8)


def test_starts_from_a_plain_vit():
    """Colours are seen as before, the trimap and relative positions begin as nothing."""
    plain = randomise(PlainViT(embed_dim=32, depth=4, num_heads=2, patch_size=16, img_size=64), 1)
    model = PlainViT(**VIT)
    report = load_weights(model, plain.trunk.state_dict())
    assert not report.missing or all('rel_pos' in name for name in report.missing)
    kernel = model.patch_kernel[0]
    assert torch.equal(kernel[:, :3], plain.patch_kernel[0]) and not kernel[:, 3].any()
    assert not any(value.any() for name, value in model.state_dict().items() if 'rel_pos' in name)

"""EoMT in plain ViTs of every family, in windowed ones, and behind hierarchical stems."""
from dataclasses import replace

import pytest
import torch
from backbones.trunk_families import TINY, TRUNKS, build
from randomised import randomise

from densevit.adapters import SimpleFeaturePyramid
from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.segmentation import EoMT, MaskClassificationLoss, MaskTarget

FAMILIES = ('AugReg', 'DeiT III', 'MAE', 'DINOv2 with registers', 'DINOv3', 'EVA-02', 'PE core', 'PE spatial', 'SigLIP',
            'BEiT', 'BEiT shared', 'mixed rotary', 'SAM')
# A windowed block, then two global ones.
WINDOWED = dict(window_size=2, global_blocks=(1, 2))
NUM_CLASSES, NUM_QUERIES = 5, 6


def eomt(backbone, **kwargs):
    return randomise(EoMT(backbone, NUM_CLASSES, **{'num_queries': NUM_QUERIES, 'num_blocks': 2, **kwargs}))


def trunk(family, **kwargs):
    return build(family, **WINDOWED, **kwargs) if family == 'SAM' else build(family, **kwargs)


def step(model, size):
    """One loss of two images and its gradients; parameters that none reaches."""
    model.train()
    masks = torch.zeros(2, *size, dtype=torch.bool)
    masks[0, :, :size[1] // 2], masks[1, size[0] // 3:, size[1] // 2:] = True, True
    targets = [MaskTarget(torch.tensor([3, 1]), masks)] * 2
    losses = MaskClassificationLoss(NUM_CLASSES, num_points=64)(model(torch.randn(2, 3, *size)), targets)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    return len(losses) // 3, [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize('family', FAMILIES)
def test_trains_and_predicts(family):
    for masked in [True, False]:
        model = eomt(trunk(family), masked_attention=masked)
        stride = model.backbone.stride
        assert step(model, (3 * stride, 4 * stride)) == (3 if masked else 1, [])
        model.eval()
        images = torch.randn(3, 3, 2 * stride, 5 * stride)
        with torch.no_grad():
            masks, classes = model(images)[-1]
            alone = model(images[1:2])[-1]
        assert masks.shape[:2] == (3, NUM_QUERIES) and classes.shape == (3, NUM_QUERIES, NUM_CLASSES + 1)
        assert 2 * masks.shape[-1] == 5 * masks.shape[-2]
        torch.testing.assert_close(alone.masks[0], masks[1], rtol=1e-4, atol=1e-4 * masks.std().item())
        torch.testing.assert_close(alone.classes[0], classes[1], rtol=1e-4, atol=1e-4 * classes.std().item())


@pytest.mark.parametrize('family', FAMILIES)
@torch.no_grad()
def test_a_masked_query_sees_nothing_outside_its_mask(family):
    """Other patches there do not change it in a masked block, but do without masks; other tokens see all."""
    model = eomt(trunk(family), num_blocks=1)
    backbone, stride = model.backbone, model.backbone.stride
    tokens = backbone.run(backbone.embed(torch.randn(1, 3, 4 * stride, 6 * stride)), 0, 2)
    tokens = tokens.prepend(model.query.weight)
    masks = torch.ones(1, NUM_QUERIES, 16, 24)
    masks[..., :8] = -1.  # all but the two leftmost columns of patches
    mask = model._attn_mask(masks, tokens, 1.)
    patches = tokens.patches.clone().unflatten(1, tokens.grid)
    patches[:, :, :2] += torch.randn(32)
    changed = tokens.with_patches(patches.flatten(1, 2))
    before, after = (backbone.run(x, 2, 3, mask).x for x in (tokens, changed))
    torch.testing.assert_close(after[:, :NUM_QUERIES], before[:, :NUM_QUERIES], rtol=0, atol=1e-5)
    assert not torch.allclose(after[:, NUM_QUERIES:], before[:, NUM_QUERIES:], atol=1e-2)
    before, after = (backbone.run(x, 2, 3).x[:, :NUM_QUERIES] for x in (tokens, changed))
    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize('family', ['AugReg', 'EVA-02', 'BEiT', 'SAM'])
@torch.no_grad()
def test_queries_join_the_global_blocks_of_a_windowed_trunk(family):
    """What comes before is the windowed trunk alone; both sizes of grid are no whole windows."""
    model = eomt(build(family, **WINDOWED))
    backbone, stride = model.backbone, model.backbone.stride
    images = torch.randn(2, 3, 3 * stride, 5 * stride)
    tokens = backbone.run(backbone.embed(images), 0, 1).prepend(model.query.weight)
    first = model(images)[0]
    normed = backbone.norm(tokens)
    expected = model.class_head(normed.x[:, :NUM_QUERIES])
    torch.testing.assert_close(first.classes, expected)
    with pytest.raises(ValueError, match=r'blocks 0 to 2, of which \[0\] attend within windows'):
        eomt(backbone, num_blocks=3)


@torch.no_grad()
def test_without_masks_queries_may_join_windowed_blocks():
    """Each window has a copy of them, and the copies are averaged."""
    model = eomt(build('AugReg', window_size=2), num_blocks=1, masked_attention=False)
    backbone = model.backbone
    tokens = backbone.run(backbone.embed(torch.randn(1, 3, 64, 32)), 0, 2).prepend(model.query.weight)
    whole = build('AugReg')
    whole.load_state_dict(backbone.state_dict())
    windows = [replace(tokens, x=torch.cat((tokens.x[:, :tokens.num_prefix], half), 1), grid=(2, 2))
               for half in tokens.patches.chunk(2, 1)]
    attended = []
    for window in windows:
        block = whole.trunk.blocks[2]
        attended.append(block.attn(block.norm1(window.x))[:, :NUM_QUERIES])
    block = backbone.trunk.blocks[2]
    mean = tokens.x[:, :NUM_QUERIES] + block.ls1(sum(attended) / 2)
    expected = mean + block.ls2(block.mlp(block.norm2(mean)))
    torch.testing.assert_close(backbone.run(tokens, 2, 3).x[:, :NUM_QUERIES], expected, rtol=1e-4, atol=1e-4)


SMALL = dict(embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
STEMS = {
    'Swin': dict(model_name='swin_tiny_patch4_window7_224', norm_out=True, **SMALL),
    'Swin V2': dict(model_name='swinv2_tiny_window8_256', **SMALL),
    'Hiera': dict(model_name='hiera_tiny_224', embed_dim=16, num_heads=1, stages=(1, 1, 1, 1)),
    'ConvNeXt': dict(model_name='convnext_tiny', dims=(16, 16, 32, 32), depths=(1, 1, 1, 1)),
    'PVT v2': dict(model_name='pvt_v2_b0', embed_dims=(8, 16, 32, 32), depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
}


@pytest.mark.parametrize('stem', STEMS)
def test_a_hierarchical_network_is_the_stem(stem):
    for lateral in [True, False]:
        options = dict(STEMS[stem], out_indices=(0, 1, 2) if lateral else (2, ))
        backbone = PlainViT(stem=options, **{**TINY, 'depth': 2}, img_size=(64, 96), class_token=False,
                            no_embed_class=True)
        assert backbone.stride == 16 and backbone.stem_strides[-1] == 16
        model = eomt(backbone, num_blocks=1, lateral=lateral)
        assert step(model, (64, 80)) == (2, [])
        model.eval()
        images = torch.randn(2, 3, 50, 100)
        with torch.no_grad():
            masks, _ = model(images)[-1]
            alone, _ = model(images[1:])[-1]
        assert masks.shape == (2, NUM_QUERIES, 16, 28)
        torch.testing.assert_close(alone[0], masks[1], rtol=1e-4, atol=1e-4 * masks.std().item())


@torch.no_grad()
def test_maps_of_a_stem_are_those_of_the_pyramid():
    options = dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 1, 1, 1), out_indices=(0, 1, 2))
    name = 'swin_tiny_patch4_window7_224'
    backbone = randomise(PlainViT(stem=dict(model_name=name, **options), **TINY, img_size=64))
    pyramid = TimmPyramid(name, **options).eval()
    pyramid.load_state_dict(backbone.trunk.patch_embed.backbone.state_dict())
    assert (backbone.stem_channels, backbone.stem_strides) == (pyramid.out_channels, pyramid.strides)
    images = torch.randn(1, 3, 50, 100)
    padded = torch.nn.functional.pad(images, (0, 12, 0, 14))
    tokens = backbone.embed(images)
    for ours, expected in zip(tokens.stem, pyramid(padded), strict=True):
        torch.testing.assert_close(ours, expected)
    proj = backbone.trunk.patch_embed.proj(tokens.stem[-1]).flatten(2).transpose(1, 2)
    assert tokens.grid == (4, 7) and tokens.patches.shape == proj.shape == (1, 28, 32)


def test_other_backbones_are_told_what_to_do():
    for backbone in (TimmPyramid('swin_tiny_patch4_window7_224', **SMALL), SimpleFeaturePyramid(vit=dict(TINY))):
        with pytest.raises(ValueError, match='make a hierarchical network the stem of one'):
            EoMT(backbone, NUM_CLASSES)
    with pytest.raises(ValueError, match='give whole multiples of 16'):
        PlainViT(stem=dict(STEMS['Swin'], out_indices=(2, )), **TINY, img_size=100)


def test_every_family_is_known():
    assert set(FAMILIES) < set(TRUNKS)

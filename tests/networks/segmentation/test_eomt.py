"""EoMT's own behaviour; equality with other implementations is tested with the weights they share."""
import pytest
import torch
from randomised import randomise

from densevit.backbones import PlainViT
from densevit.networks.segmentation import EoMT

SIZES = [(480, 640), (333, 517), (512, 2048)]


def build(name='vit_small_patch16_dinov3', lateral=False, backbone=None, **kwargs):
    backbone = backbone or {}
    sizes = {'embed_dim': 32, 'depth': 3, 'num_heads': 2, 'img_size': 64}
    options = {'num_queries': 6, 'num_blocks': 2, **kwargs}
    return randomise(EoMT(PlainViT(name, **{**sizes, **backbone}), 5, lateral=lateral, **options))


HYBRID = {'stem': {'model_name': 'resnet10t', 'out_indices': (1, 2, 3)}}


@torch.no_grad()
def test_any_size_and_the_batch_does_not_matter():
    for masked in [True, False]:
        for size in SIZES:
            model = build()
            model.set_mask_probs([float(masked)] * 2)
            images = torch.randn(3, 3, *size)
            predictions = model(images)
            assert len(predictions) == (3 if masked else 1)
            assert predictions[-1].masks.shape == (3, 6, 4 * -(-size[0] // 16), 4 * -(-size[1] // 16))
            alone = model(images[1:2])[-1]
            for one, many in zip(alone, predictions[-1], strict=True):
                torch.testing.assert_close(one[0], many[1], rtol=1e-5, atol=1e-5 * many.std().item())


@torch.no_grad()
def test_masked_queries_see_nothing_outside_their_mask():
    """A patch outside every predicted mask cannot change the queries of a masked block, but does without masks."""
    model = build(num_blocks=1, backbone={'depth': 2})
    for prob, differs in [(1., False), (0., True)]:
        model.set_mask_probs([prob])
        tokens = model.backbone.run(model.backbone.embed(torch.randn(1, 3, 64, 96)), 0, 1).prepend(model.query.weight)
        outside = torch.full((1, 6, 16, 24), 1.)
        outside[..., :8] = -1.  # the two leftmost columns of patches
        mask = model._attn_mask(outside, tokens, 1.) if prob else None
        changed = tokens.x.clone()
        changed[:, tokens.num_prefix::6] += torch.randn(32)  # the leftmost column
        before = model.backbone.run(tokens, 1, 2, mask).x[:, :6]
        after = model.backbone.run(tokens.__class__(changed, tokens.grid, tokens.num_prefix, tokens.rope), 1, 2, mask)
        assert torch.allclose(before, after.x[:, :6], atol=1e-5) != differs


@torch.no_grad()
def test_partly_annealed_blocks_mask_a_share_of_the_queries():
    model = build(num_queries=200)
    tokens = model.backbone.embed(torch.randn(4, 3, 64, 64)).prepend(model.query.weight)
    assert model._attn_mask(torch.full((4, 200, 16, 16), -1.), tokens, .3)[:, 0, :200].all()  # rounded in evaluation
    model.train()
    mask = model._attn_mask(torch.full((4, 200, 16, 16), -1.), tokens, .3)
    patches = mask[:, 0, :200, tokens.num_prefix:]
    share = (~patches).all(-1).float().mean()
    assert ((~patches).any(-1) == (~patches).all(-1)).all()  # a query is masked wholly or not at all
    assert .25 < share < .35
    assert mask[:, 0, :, :tokens.num_prefix].all() and mask[:, 0, 200:].all()


def test_intermediate_predictions():
    for supervision, training, expected in [
        ('masked', True, 2), ('always', True, 3), ('masked', False, 2), ('always', False, 2)]:
        model = build(deep_supervision=supervision).train(training)
        model.set_mask_probs([0., .5])
        assert len(model(torch.randn(1, 3, 32, 48))) == expected
        model.set_mask_probs([0., 0.])
        assert len(model(torch.randn(1, 3, 32, 48))) == (3 if supervision == 'always' and training else 1)


def test_mask_probabilities_travel_with_the_state_dict():
    model, other = build(), build()
    model.set_mask_probs([0., .25])
    other.load_state_dict(model.state_dict())
    assert other._probs == [0., .25]


@torch.no_grad()
def test_number_of_upscales_follows_the_patch_size():
    for patch, upscales, stride in [(16, 2, 4), (8, 1, 4), (14, 1, 7), (32, 3, 4)]:
        model = build(None, backbone={'patch_size': patch, 'img_size': 4 * patch})
        assert len(model.upscale) == upscales
        assert model(torch.zeros(1, 3, 4 * patch, 2 * patch))[-1].masks.shape[-2:] == (
            4 * patch // stride, 2 * patch // stride)


@torch.no_grad()
def test_lateral_maps_of_a_hybrid_stem_are_used():
    model = build(None, lateral=True, backbone={**HYBRID, 'class_token': False, 'no_embed_class': True})
    assert set(model.lateral) == {'4', '8'}
    images = torch.randn(1, 3, 50, 70)
    masks = model(images)[-1].masks
    assert masks.shape[-2:] == (16, 20)
    for stride in ('4', '8'):
        kept = model.lateral[stride].weight.clone()
        model.lateral[stride].weight.zero_()
        assert not torch.allclose(model(images)[-1].masks, masks)
        model.lateral[stride].weight.copy_(kept)


@torch.no_grad()
def test_attention_masks_lie_over_their_patches_at_any_size():
    """A mask of the last row of patches stays there when that row is mostly padding."""
    model = build()
    tokens = model.backbone.embed(torch.randn(1, 3, 81, 64)).prepend(model.query.weight)
    masks = torch.full((1, 6, 24, 16), -1.)
    masks[:, :, 20:] = 1.
    inside = model._attn_mask(masks, tokens, 1.)[0, 0, 0, tokens.num_prefix:].unflatten(0, tokens.grid)
    assert tokens.grid == (6, 4) and inside[5].all() and not inside[:5].any()


@torch.no_grad()
def test_traced_network_equals_itself_with_masks():
    model = build('vit_small_patch16_224', backbone={'depth': 2}).eval().requires_grad_(False)

    def flat(images):  # a trace gives no named tuples
        return tuple(tensor for prediction in model(images) for tensor in prediction)
    traced = torch.jit.trace(flat, torch.randn(2, 3, 64, 96))
    images = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(traced(images), flat(images))


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match='num_blocks=4, but the backbone has 3 blocks'):
        build(num_blocks=4)
    with pytest.raises(ValueError, match='needs a backbone with a convolutional stem'):
        build(lateral=True)
    with pytest.raises(ValueError, match=r'queries join blocks 1 to 2, of which \[2\] attend within windows'):
        build('samvit_base_patch16', backbone={'global_attn_indexes': (1, )})
    with pytest.raises(ValueError, match="choose 'masked' or 'always'"):
        build(deep_supervision='sometimes')
    with pytest.raises(ValueError, match='masked_attention=False does without'):
        build(deep_supervision='always', masked_attention=False)

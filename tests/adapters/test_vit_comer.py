"""ViT-CoMer computes what its official code does, in both forms, and learns as it does."""
import pytest
import torch
from checkout import without_memory
from official import assert_close, assert_golden, fill, write_golden
from official_adapters import correspondence, give_values, official_adapter, official_size

from densevit import ViTCoMer

SIZES = dict(embed_dim=32, depth=4, num_heads=4, img_size=64)
WINDOWS = dict(window_size=3, global_blocks=(2, ), pad_mode='official')
FORMS = {
    'detection': (dict(form='detection'), dict(cnn_feature_interaction=True)),
    'segmentation': (dict(form='segmentation', mrfp_ratio=1.5), dict(dim_ratio=1.5)),
}
CASES = [(form, windowed) for form in FORMS for windowed in (False, True)]


def build(form, windowed=False, **kwargs):
    vit = dict(SIZES, patch_size=16, init_values=1., pos_embed_antialias=False, **(WINDOWS if windowed else {}))
    model = ViTCoMer(vit, num_heads=4, **FORMS[form][0], **kwargs)
    fill(model)
    return model.eval()


def build_official(form, windowed=False, **kwargs):
    return official_adapter(
        'ViT-CoMer', form, **SIZES, pretrain_size=64, deform_num_heads=4, window_size=[3] * 4,
        interaction_indexes=[[0, 0], [1, 1], [2, 2], [3, 3]], window_attn=[windowed, windowed, False, windowed],
        **{**FORMS[form][1], **kwargs}).eval()


def images(seed=0):
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(seed))


def record(form, windowed):
    return f'vit_comer_{form}{"_windows" if windowed else ""}'


@pytest.mark.parametrize(('form', 'windowed'), CASES)
@torch.no_grad()
def test_official__same_features(form, windowed):
    ours, official = build(form, windowed), build_official(form, windowed)
    give_values(ours, official)
    expected = official(images())
    assert_close(ours(images()), expected)
    write_golden(record(form, windowed), expected)
    # With the statistics of the batch, which then become the running ones.
    assert_close(ours.train()(images()), official.train()(images()))
    assert_close(ours.eval()(images(1)), official.eval()(images(1)))


@pytest.mark.parametrize(('form', 'windowed'), CASES)
@torch.no_grad()
def test_official__recorded_features(form, windowed):
    assert_golden(record(form, windowed), build(form, windowed)(images()))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('training', [True, False])
def test_official__same_gradients(form, training):
    ours, official = build(form).double(), build_official(form)
    give_values(ours, official)
    official.double()
    for model in (ours, official):
        maps = model.train(training)(images().double())
        weights = torch.Generator().manual_seed(1)
        sum((x * torch.randn(x.shape, generator=weights).double()).sum() for x in maps).backward()
    own = dict(ours.named_parameters())
    # A bias in front of a batch norm of the batch's statistics has no gradient; what is there is rounding.
    floor = 1e-9 * max(parameter.grad.norm() for parameter in own.values())
    names = correspondence(official, ours)
    compared = 0
    for name, parameter in official.named_parameters():
        grad, expected = own[names[name]].grad, parameter.grad
        if grad.shape != expected.shape:  # the official code keeps an unused position of the class token
            expected = expected[:, 1:]
        assert (grad - expected).norm() <= 1e-3 * expected.norm() + floor, name
        compared += 1
    assert compared == len(own)


@pytest.mark.parametrize('form', FORMS)
@torch.no_grad()
def test_official__switched_off_directions(form):
    """What the official code builds all the same and does not use is left out of the checkpoint."""
    official = build_official(form, use_CTI_toV=[False, True, True, False], use_CTI_toC=[True, False, True, True],
                              cnn_feature_interaction=[False, True, True, False])
    ours = build(form, to_vit=[False, True, True, False], to_cnn=[True, False, True, True],
                 cnn_interaction=[False, True, True, False])
    give_values(ours, official)
    assert_close(ours(images()), official(images()))


@pytest.mark.parametrize(('name', 'head_dim', 'ratio', 'mrfp', 'detection', 'segmentation'), [
    ('deit_tiny_patch16_224', 32, 1., None, 8.74, 10.62),
    ('deit_small_patch16_224', 64, 1., 1.5, 30.01, 31.28),
    ('deit_base_patch16_224', 64, .5, 1., 108.15, 110.60),
    ('vit_large_patch16_224', 64, .5, None, 341.89, 389.40),
])
def test_size__that_of_the_official_models(name, head_dim, ratio, mrfp, detection, segmentation):
    """Defaults are those of the published sizes; counts of the official code, in millions."""
    with without_memory():
        models = [ViTCoMer(dict(name=name, init_values=1.)),
                  ViTCoMer(dict(name=name, init_values=1.), form='segmentation', mrfp_ratio=mrfp)]
    assert [official_size(model) for model in models] == [detection, segmentation]
    attention = models[0].interactions[0].to_vit.attn
    assert models[0].vit.embed_dim // attention.num_heads == head_dim
    assert attention.value_proj.out_features == ratio * models[0].vit.embed_dim


def test_errors__say_what_to_give():
    vit = dict(SIZES, patch_size=16)
    with pytest.raises(ValueError, match='to_vit has 2 values for 4 interactions'):
        ViTCoMer(vit, to_vit=[True, False])
    with pytest.raises(ValueError, match='an even number'):
        ViTCoMer(vit, mrfp_ratio=1 / 32)

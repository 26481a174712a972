"""ViT-Adapter computes what its official code does: plain, with BEiT, and as DINOv3 has it."""
import pytest
import torch
from checkout import without_memory
from official import assert_close, assert_golden, fill, write_golden
from official_adapters import give_values, official_adapter, official_dinov3_adapter, official_size

from densevit import ViTAdapter, load_weights

SIZES = dict(embed_dim=32, depth=4, num_heads=4)
INDEXES = [[0, 0], [1, 1], [2, 2], [3, 3]]
WINDOWS = dict(window_size=3, global_blocks=(2, ), pad_mode='official')
IMAGE = (64, 96)
DINOV3 = dict(embed_dim=64, depth=4, num_heads=2)


def plain(form, windowed=False):
    vit = dict(SIZES, img_size=64, patch_size=16, init_values=1., pos_embed_antialias=False,
               **(WINDOWS if windowed else {}))
    return ViTAdapter(vit, form=form, num_heads=4)


def beit():
    vit = dict(SIZES, name='beit_base_patch16_224', img_size=IMAGE, keep_prefix=True)
    return ViTAdapter(vit, form='segmentation', num_heads=4, gate_init=1e-6)


def dinov3():
    vit = dict(DINOV3, name='vit_small_patch16_dinov3')
    return ViTAdapter(vit, form='segmentation', num_heads=4, value_ratio=.5, injectors=False, norm_features=True)


def official_plain(form, windowed=False):
    return official_adapter(
        'ViT-Adapter', form, **SIZES, img_size=64, pretrain_size=64, deform_num_heads=4, interaction_indexes=INDEXES,
        window_size=[3] * 4, window_attn=[windowed, windowed, False, windowed])


def official_beit():
    return official_adapter(
        'ViT-Adapter', 'segmentation', 'beit_adapter', 'BEiTAdapter', **SIZES, img_size=IMAGE, qkv_bias=True,
        init_values=1e-6, deform_num_heads=4, interaction_indexes=INDEXES)


def official_dinov3():
    vit = dict(DINOV3, qkv_bias=False, layerscale_init=1., n_storage_tokens=4, norm_layer='layernormbf16',
               pos_embed_rope_dtype='fp32')
    return official_dinov3_adapter(vit, interaction_indexes=[0, 1, 2, 3], deform_num_heads=4, drop_path_rate=0.)


CASES = {
    'detection': (lambda: plain('detection'), lambda: official_plain('detection')),
    'detection_windows': (lambda: plain('detection', True), lambda: official_plain('detection', True)),
    'segmentation': (lambda: plain('segmentation'), lambda: official_plain('segmentation')),
    'beit': (beit, official_beit),
    'dinov3': (dinov3, official_dinov3),
}


def filled(case):
    model = CASES[case][0]()
    fill(model, skip=('rope', ))
    return model.eval()


def images(seed=0):
    return torch.randn(2, 3, *IMAGE, generator=torch.Generator().manual_seed(seed))


def maps_of(official, x):
    maps = official(x)
    return list(maps.values()) if isinstance(maps, dict) else maps


@pytest.mark.parametrize('case', CASES)
@pytest.mark.filterwarnings('ignore:.*autocast')
@torch.no_grad()
def test_official__same_features(case):
    ours, official = filled(case), CASES[case][1]().eval()
    give_values(ours, official)
    expected = maps_of(official, images())
    assert_close(ours(images()), expected)
    write_golden(f'vit_adapter_{case}', expected)
    loaded = CASES[case][0]().eval()
    assert not load_weights(loaded, official.state_dict()).missing
    assert_close(loaded(images()), expected)
    # With the statistics of the batch, which then become the running ones.
    assert_close(ours.train()(images()), maps_of(official.train(), images()))
    assert_close(ours.eval()(images(1)), maps_of(official.eval(), images(1)))


@pytest.mark.parametrize('case', CASES)
@torch.no_grad()
def test_official__recorded_features(case):
    assert_golden(f'vit_adapter_{case}', filled(case)(images()))


@pytest.mark.parametrize(('name', 'head_dim', 'ratio', 'count'), [
    ('deit_tiny_patch16_224', 32, 1., 7.97),
    ('deit_small_patch16_224', 64, 1., 27.50),
    ('deit_base_patch16_224', 64, .5, 99.50),
    ('vit_large_patch16_224', 64, .5, 326.58),
])
def test_size__that_of_the_official_models(name, head_dim, ratio, count):
    """Defaults are those of the published sizes; counts of the official code, in millions."""
    with without_memory():
        model = ViTAdapter(dict(name=name, init_values=1.))
    assert official_size(model) == count
    attention = model.interactions[0].injector.attn
    assert model.vit.embed_dim // attention.num_heads == head_dim
    assert attention.value_proj.out_features == ratio * model.vit.embed_dim


@torch.no_grad()
def test_injector__does_nothing_at_first():
    """With its gates closed the ViT sees what it saw when it was pre-trained; with them open it does not."""
    model = plain('detection').eval()
    x, seen = images(), []
    model.interactions[-1].extractor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    model(x)
    torch.testing.assert_close(seen[0], model.vit.run(model.vit.embed(x)).patches)
    for interaction in model.interactions:
        interaction.injector.gamma.fill_(1.)
    model(x)
    assert not torch.allclose(seen[1], seen[0], atol=1e-3)

"""DPT for depth against transformers' forms of it; the forms that only their authors have are in test_dpt_authors."""
import pytest
import torch
from networks.depth.parity import CHANNELS, VIT, WIDTH, assert_equal

from densevit import PlainViT
from densevit.networks.depth import DPTDepth

transformers = pytest.importorskip('transformers')
NECK = dict(neck_hidden_sizes=list(CHANNELS), fusion_hidden_size=WIDTH)
DINOV2 = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
              out_indices=[1, 2, 3, 4], reshape_hidden_states=False)


def images(height, width):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))


def build(backbone=None, **options):
    backbone = PlainViT(**{**VIT, 'img_size': 64, 'out_indices': (0, 1, 2, 3), 'norm_out': False, **(backbone or {})})
    return DPTDepth(backbone, **{**dict(channels=CHANNELS, width=WIDTH), **options}).eval()


def dinov2(**options):
    return dict(name='vit_small_patch14_dinov2', img_size=56, pos_embed_antialias=False, **options)


@pytest.mark.parametrize('readout', ['ignore', 'add', 'project'])
def test_equals_transformers_dpt(readout):
    """Square and not: its own forward does not tell the neck the shape of the latter."""
    theirs = transformers.DPTForDepthEstimation(transformers.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=64,
        backbone_out_indices=[0, 1, 2, 3], readout_type=readout, layer_norm_eps=1e-6, **NECK)).eval()
    positions = dict(pos_embed_antialias=False, pos_embed_kernel='bilinear')

    def forward(x):
        hidden = theirs.dpt(x, output_hidden_states=True).hidden_states[1:]
        return theirs.head(theirs.neck(list(hidden), x.shape[2] // 16, x.shape[3] // 16))

    assert_equal(build(positions, readout=readout, kind='relative_disparity'), theirs, images(64, 64),
                 lambda x: theirs(x).predicted_depth)
    theirs.zero_grad()
    assert_equal(build(positions, readout=readout, kind='relative_disparity'), theirs, images(64, 160), forward)


@pytest.mark.parametrize('size', [(64, 64), (96, 160)])
def test_equals_transformers_dpt_with_beit(size):
    backbone = transformers.BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=64,
        use_relative_position_bias=True, use_mask_token=False, out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
        layer_norm_eps=1e-6)
    theirs = transformers.DPTForDepthEstimation(transformers.DPTConfig(backbone_config=backbone, **NECK)).eval()
    ours = build(dict(name='beit_base_patch16_224', init_values=1., pos_embed_antialias=False,
                      pos_embed_kernel='bilinear'), kind='relative_disparity')
    assert_equal(ours, theirs, images(*size), lambda x: theirs(x).predicted_depth)


def test_equals_transformers_dpt_hybrid():
    """Two levels are a ResNet's; square, for its own forward does not tell the neck another shape."""
    theirs = transformers.DPTForDepthEstimation(transformers.DPTConfig(
        is_hybrid=True, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128,
        image_size=96, backbone_featmap_shape=[1, 1024, 6, 6], backbone_out_indices=[0, 1, 2, 3], layer_norm_eps=1e-6,
        neck_hidden_sizes=[256, 512, 16, 20], fusion_hidden_size=WIDTH)).eval().double()
    ours = build(dict(name='vit_base_r50_s16_384', img_size=96, stem_out=(1, 2), out_indices=(2, 3)),
                 channels=(256, 512, 16, 20), kind='relative_disparity').double()
    assert_equal(ours, theirs, images(96, 96).double(), lambda x: theirs(x).predicted_depth)


@pytest.mark.parametrize('size', [(56, 56), (70, 126)])
def test_equals_transformers_dpt_with_dinov2(size):
    """Also of an odd number of patches."""
    theirs = transformers.DPTForDepthEstimation(transformers.DPTConfig(
        backbone_config=transformers.Dinov2Config(**DINOV2, apply_layernorm=False), add_projection=True,
        use_bias_in_fusion_residual=False, neck_hidden_sizes=list(CHANNELS), fusion_hidden_size=256)).eval()
    ours = build(dinov2(), width=256, readout='project', doubles=True, project=True, unit_bias=False)
    assert_equal(ours, theirs, images(*size), lambda x: theirs(x).predicted_depth)


@pytest.mark.parametrize('size', [(56, 56), (70, 126)])
@pytest.mark.parametrize('kind', ['relative', 'metric'])
def test_equals_transformers_depth_anything(kind, size):
    theirs = transformers.DepthAnythingForDepthEstimation(transformers.DepthAnythingConfig(
        backbone_config=transformers.Dinov2Config(**DINOV2), reassemble_hidden_size=32, depth_estimation_type=kind,
        max_depth=20 if kind == 'metric' else 1, **NECK)).eval()
    form = (dict(activation='sigmoid', max_depth=20.) if kind == 'metric' else dict(kind='relative_disparity'))
    ours = build(dinov2(norm_out=True), readout='ignore', **form)
    assert_equal(ours, theirs, images(*size), lambda x: theirs(x).predicted_depth, last=theirs.head.conv3)


@pytest.mark.parametrize('spacing', ['linear', 'log', 'mixlog'])
@pytest.mark.parametrize('norm', ['linear', 'softmax', 'sigmoid', 'mixlog'])
def test_equals_transformers_chmv2(spacing, norm):
    """All its bins, around a DINOv3 with registers, and of an odd number of patches."""
    backbone = transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=64, patch_size=16,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=True, apply_layernorm=True, return_class_token=True,
        num_register_tokens=4, key_bias=False)
    strategies = {name: f'chmv2_{name}' if name == 'mixlog' else name for name in ('linear', 'log', 'mixlog', norm)}
    theirs = transformers.CHMv2ForDepthEstimation(transformers.CHMv2Config(
        backbone_config=backbone, post_process_channels=list(CHANNELS), fusion_hidden_size=WIDTH, head_hidden_size=12,
        number_output_channels=9, bins_strategy=strategies[spacing], norm_strategy=strategies[norm])).eval()
    bins = dict(num_bins=9, spacing=spacing, **(
        dict(norm='linear', floor=1e-8) if norm == 'mixlog' else dict(norm=norm)))
    ours = build(dict(name='vit_small_patch16_dinov3_qkvb', norm_out=True), readout='project', doubles=True,
                 hidden_dim=12, bins=bins, min_depth=1e-3, max_depth=96.)
    scale = 8. if norm == 'mixlog' and spacing != 'mixlog' else 1.  # it multiplies by 8 whatever its bins are
    scale = 1 / 8 if spacing == 'mixlog' and norm != 'mixlog' else scale  # ... or are divided by it
    assert_equal(ours, theirs, images(80, 112), lambda x: theirs(x).predicted_depth / scale,
                 last=theirs.head.conv_depth.head[4])


def test_channels_none__maps_keep_their_strides():
    """Where blocks follow maps of a stem, none needs to be reassembled."""
    backbone = PlainViT(img_size=64, stem=dict(model_name='resnet10t', out_indices=(1, 2, 3)), stem_out=(0, 1),
                        out_indices=(0, 1), class_token=False, embed_dim=32, depth=2, num_heads=2)
    plain = DPTDepth(backbone, channels=None, width=8, hidden_dim=4)
    assert not any('reassemble' in name for name in plain.state_dict())
    assert [project.in_channels for project in plain.decoder.project] == [64, 128, 32, 32]
    assert plain(torch.randn(1, 3, 64, 96)).depth.shape[-2:] == (64, 96)
    assert any('reassemble' in name for name in DPTDepth(backbone, width=8, hidden_dim=4).state_dict())

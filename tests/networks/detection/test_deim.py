"""DEIMv2 and D-FINE: predictions and training losses of transformers' models with the same weights."""
from types import SimpleNamespace

import pytest
import torch
from networks.base import pyramid
from official import assert_close
from randomised import randomise
from torch import nn

from densevit import PlainViT, load_weights
from densevit.networks.detection import DEIM, BoxTarget, DEIMLoss

transformers = pytest.importorskip('transformers', reason='needs transformers')
if not hasattr(transformers, 'Deimv2Config'):
    pytest.skip('needs transformers 5.23', allow_module_level=True)

CLASSES = 7
SIZES = dict(embed_dim=32, num_queries=10, num_layers=3, num_heads=4, ffn_dim=48, encoder_ffn_dim=40, expansion=.5,
             num_blocks=2, activation='relu', project_proposals=True, update_positions=True, num_denoising=20)
DFINE = dict(SIZES, fusion='cat', branch_convs=True, style='d-fine', position_dims=(64, ))
LABELS = [dict(class_labels=torch.tensor([1, 4, 2]),
               boxes=torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]])),
          dict(class_labels=torch.tensor([0, 6]), boxes=torch.tensor([[.2, .8, .3, .2], [.8, .2, .2, .3]]))]
TARGETS = [BoxTarget(image['class_labels'], image['boxes']) for image in LABELS]


def their_options(**options):
    return dict(
        encoder_hidden_dim=32, encoder_ffn_dim=40, encoder_attention_heads=4, d_model=32, decoder_ffn_dim=48,
        decoder_n_points=[3, 6, 3], decoder_layers=3, decoder_attention_heads=4, num_queries=10, num_labels=CLASSES,
        num_denoising=20, hidden_expansion=.5, depth_mult=.67, decoder_in_channels=[32] * 3,
        freeze_backbone_batch_norms=False, **options)


class Levels(nn.Module):
    """Maps of one of our backbones in the place of HGNetV2."""

    def __init__(self, backbone, is_d_fine):
        super().__init__()
        self.model, self.is_d_fine = backbone, is_d_fine

    def forward(self, images, *_, **__):
        maps = self.model(images)
        return [(x, None) for x in maps] if self.is_d_fine else SimpleNamespace(feature_maps=maps)


def hgnet():
    return transformers.HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 12, 16], stage_mid_channels=[8] * 4,
        stage_out_channels=[8, 12, 16, 20], stage_num_blocks=[1] * 4, stage_numb_of_layers=[1] * 4,
        stage_light_block=[False] * 4, stage_kernel_size=[3] * 4, depths=[1] * 4, hidden_sizes=[8, 12, 16, 20],
        embedding_size=8, out_indices=[2, 3, 4])


def with_sizes(model):
    """Random values, but for constants and what makes boxes run away."""
    constants = {name: tensor.clone() for name, tensor in model.state_dict().items()
                 if name.endswith(('num_points_scale', 'reg_scale', '.up'))}
    randomise(model).load_state_dict(constants, strict=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'bbox_' in name and 'layers.2' in name:
                parameter.mul_(.2)
    return model


def their_d_fine():
    config = transformers.DFineConfig(
        backbone_config=hgnet(), encoder_in_channels=[12, 16, 20], feat_strides=[8, 16, 32], **their_options())
    model = transformers.DFineForObjectDetection(config)
    model.model.backbone = Levels(pyramid(out_indices=(1, 2, 3)), True)
    return with_sizes(model)


def their_deim(backbone, trailing=False):
    options = their_options(encoder_in_channels=[12, 16, 20] if backbone == 'pyramid' else [32] * 3,
                            spatial_tuning_adapter_inplanes=8, encoder_has_trailing_conv=trailing)
    if backbone == 'pyramid':
        model = transformers.Deimv2ForObjectDetection(transformers.Deimv2Config(backbone_config=hgnet(), **options))
        model.model.conv_encoder.model = Levels(pyramid(out_indices=(1, 2, 3)), False)
        return with_sizes(model)
    vit = transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, patch_size=16, image_size=64,
        out_indices=[2, 3, 4], num_register_tokens=2, layer_norm_eps=1e-5)
    return with_sizes(transformers.Deimv2ForObjectDetection(transformers.Deimv2Config(backbone_config=vit, **options)))


def our_deim(backbone, **options):
    if backbone == 'pyramid':
        return randomise(DEIM(pyramid(out_indices=(1, 2, 3)), CLASSES, **{**SIZES, **options}), 1)
    vit = PlainViT('vit_small_patch16_dinov3_qkvb', embed_dim=32, depth=4, num_heads=2, mlp_ratio=2.,
                   num_reg_tokens=2, out_indices=(1, 2, 3), img_size=64)
    return randomise(DEIM(vit, CLASSES, side_dim=8, **{**SIZES, **options}), 1)


MODELS = {
    'DEIMv2 on DINOv3': (lambda: their_deim('vit'), lambda: our_deim('vit')),
    'DEIMv2 on a pyramid': (lambda: their_deim('pyramid', True), lambda: our_deim('pyramid', branch_convs=True)),
    'D-FINE': (their_d_fine, lambda: randomise(DEIM(pyramid(out_indices=(1, 2, 3)), CLASSES, **DFINE), 1)),
}


def with_weights_of(ours, theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    report = load_weights(ours, tmp_path / 'theirs.pth')
    assert not report.missing
    assert not [name for name in report.left if 'num_points_scale' not in name and 'mask_token' not in name]
    return ours


@pytest.mark.parametrize('name', MODELS)
def test_equals_transformers(name, tmp_path):
    theirs, ours = (build() for build in MODELS[name])
    with_weights_of(ours, theirs, tmp_path)
    for size in ((128, 192), (256, 64)):
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected, found = theirs(images), ours(images)[-1]
        assert_close(found.logits[:, 0], expected.logits, 1e-4)
        assert_close(found.boxes[:, 0], expected.pred_boxes, 1e-4)

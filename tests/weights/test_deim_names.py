"""Checkpoints of DEIMv2 and D-FINE under their authors' names: the outputs and losses of their code."""
import pytest
import torch
from networks.base import pyramid
from networks.detection.official_deim import Detector, official_deim
from official import assert_close
from randomised import randomise
from torch import nn

from densevit import PlainViT, load_weights
from densevit.networks.detection import DEIM, BoxTarget, DEIMLoss

SIZES = dict(embed_dim=32, num_queries=10, num_layers=3, num_heads=4, ffn_dim=48, encoder_ffn_dim=40, expansion=.5,
             num_blocks=2, num_denoising=20)
LABELS = [dict(labels=torch.tensor([1, 4, 2]),
               boxes=torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]])),
          dict(labels=torch.tensor([0, 6]), boxes=torch.tensor([[.2, .8, .3, .2], [.8, .2, .2, .3]]))]
TARGETS = [BoxTarget(**image) for image in LABELS]


def encoder(official, channels, dim=32, **options):
    return official.HybridEncoder(in_channels=channels, hidden_dim=dim, nhead=4, dim_feedforward=40, expansion=.5,
                                  depth_mult=.67, **options)


def decoder_options(dim=32):
    return dict(num_classes=7, hidden_dim=32, num_queries=10, feat_channels=[dim] * 3, num_points=[3, 6, 3], nhead=4,
                num_layers=3, dim_feedforward=48, num_denoising=20)


def deimv2():
    """Around their ViT of the sizes S and M, which has neither final norm nor layer scales."""
    official = official_deim()
    backbone = official.DINOv3STAs(name='vit_tiny', embed_dim=32, num_heads=2, interaction_indexes=[3, 7, 11],
                                   conv_inplane=8)
    theirs = Detector(
        backbone, encoder(official, [32] * 3, version='deim', csp_type='csp2', fuse_op='sum'),
        official.DEIMTransformer(**decoder_options(), activation='silu', mlp_act='silu'))
    vit = PlainViT('vit_small_patch16_dinov3_qkvb', embed_dim=32, depth=12, num_heads=2,
                   num_reg_tokens=0, attn_type='rope', norm_out=False, out_indices=(3, 7, 11), img_size=64)
    return official, theirs, DEIM(vit, 7, side_dim=8, **SIZES)


def d_fine():
    """Levels wider than the decoder, as in D-FINE-X, of one of our backbones in the place of HGNetV2."""
    official = official_deim()
    backbone = pyramid(out_indices=(1, 2, 3))
    theirs = Detector(backbone, encoder(official, list(backbone.out_channels), 40, csp_type='csp2'),
                      official.DFINETransformer(**decoder_options(40)))
    ours = DEIM(pyramid(out_indices=(1, 2, 3)), 7, encoder_dim=40, fusion='cat', branch_convs=True, style='d-fine',
                activation='relu', position_dims=(64, ), project_proposals=True, update_positions=True, **SIZES)
    return official, theirs, ours


@pytest.mark.parametrize('build', [deimv2, d_fine])
def test_predictions_and_losses_are_the_authors(build, tmp_path):
    """Of squares, for the authors lay out positions column by column and maps row by row."""
    official, theirs, ours = build()
    constants = {name: tensor.clone() for name, tensor in theirs.state_dict().items()
                 if name.endswith(('num_points_scale', 'reg_scale', '.up'))}
    randomise(theirs).load_state_dict(constants, strict=False)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if build is deimv2 and ('enc_score_head' in name or 'enc_bbox_head.layers.0' in name):
                parameter.mul_(2e-4)  # read a memory without a norm; their costs end where 1e-8 is added to logarithms
            elif 'bbox_head' in name and 'layers.2' in name:
                parameter.mul_(.2)
            elif parameter.ndim > 1:
                parameter.mul_(.6)  # sums of many layers would lose digits
    torch.save(dict(model=theirs.state_dict()), tmp_path / 'theirs.pth')
    report = load_weights(randomise(ours, 1), tmp_path / 'theirs.pth')
    assert not report.missing
    assert not [name for name in report.left if 'num_points_scale' not in name and 'rope' not in name]
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs(images), ours(images)[-1]
    assert_close(found.logits[:, 0], expected['pred_logits'], 1e-4)
    assert_close(found.boxes[:, 0], expected['pred_boxes'], 1e-4)
    for module in (*theirs.train().modules(), *ours.train().modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    kind, gamma = ('mal', 1.5) if build is deimv2 else ('vfl', 2.)
    criterion = official.DEIMCriterion(
        official.HungarianMatcher(dict(cost_class=2, cost_bbox=5, cost_giou=2), use_focal_loss=True),
        {f'loss_{kind}': 1, 'loss_bbox': 5, 'loss_giou': 2, 'loss_fgl': .15, 'loss_ddf': 1.5},
        [kind, 'boxes', 'local'], alpha=.75, gamma=gamma, num_classes=7)
    torch.manual_seed(0)
    expected = criterion(theirs(images, LABELS), LABELS)
    torch.manual_seed(0)
    found = DEIMLoss(7, class_loss=kind, gamma=gamma)(ours(images, TARGETS), TARGETS)
    names = {'cls': kind, 'bbox': 'bbox', 'iou': 'giou', 'edge': 'fgl', 'distill': 'ddf'}
    places = {'': '', 'd0': '_enc_0', 'd1': '_pre', 'd2': '_aux_0', 'd3': '_aux_1', 'dn1': '_dn_pre', 'dn2': '_dn_0',
              'dn3': '_dn_1', 'dn': '_dn_2'}
    for name, loss in found.items():
        place, _, own = name.rpartition('.')
        their_name = f'loss_{names[own.removeprefix("loss_")]}{places[place]}'
        if 'distill' in name and 'dn' in name:  # weighed there by the numbers of the queries that are no noise
            continue
        torch.testing.assert_close(loss, expected[their_name], rtol=1e-4, atol=1e-5, check_dtype=False,
                                   msg=name)

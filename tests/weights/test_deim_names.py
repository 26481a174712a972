"""Checkpoints of DEIMv2 and D-FINE under their authors' names: the outputs and losses of their code.

``tests/golden/deim_names.json`` has the names and shapes of official checkpoints, from which their values follow, so
that what the authors' code made of them is compared where it is not.
"""
import json
import os
from functools import cache

import pytest
import torch
from networks.base import pyramid
from networks.detection.official_deim import Detector, official_deim
from official import GOLDEN, assert_close, assert_golden, write_golden
from randomised import randomise
from torch import nn

from densevit import PlainViT, TimmPyramid, load_weights
from densevit.networks.detection import DEIM, BoxTarget, DEIMLoss

NAMES = GOLDEN / 'deim_names.json'
SIZES = dict(embed_dim=32, num_queries=10, num_layers=3, num_heads=4, ffn_dim=48, encoder_ffn_dim=40, expansion=.5,
             num_blocks=2, num_denoising=20)
LABELS = [dict(labels=torch.tensor([1, 4, 2]),
               boxes=torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]])),
          dict(labels=torch.tensor([0, 6]), boxes=torch.tensor([[.2, .8, .3, .2], [.8, .2, .2, .3]]))]
TARGETS = [BoxTarget(**image) for image in LABELS]


def encoder(official, channels, dim=32, **options):
    return official.HybridEncoder(in_channels=channels, hidden_dim=dim, nhead=4, dim_feedforward=40, expansion=.5,
                                  depth_mult=.67, csp_type='csp2', **options)


def decoder_options(dim=32, levels=3, **options):
    return dict(num_classes=7, hidden_dim=32, num_queries=10, feat_channels=[dim] * levels, nhead=4, num_layers=3,
                num_points=[3, 6, 3] if levels == 3 else [6, 6], dim_feedforward=48, num_denoising=20, **options)


def their_deimv2(official):
    """Around their ViT of the sizes S and M, which has neither final norm nor layer scales."""
    backbone = official.DINOv3STAs(name='vit_tiny', embed_dim=32, num_heads=2, interaction_indexes=[3, 7, 11],
                                   conv_inplane=8)
    return Detector(backbone, encoder(official, [32] * 3, version='deim', fuse_op='sum'),
                    official.DEIMTransformer(**decoder_options(), activation='silu', mlp_act='silu'))


def our_deimv2():
    vit = PlainViT('vit_small_patch16_dinov3_qkvb', embed_dim=32, depth=12, num_heads=2,
                   num_reg_tokens=0, attn_type='rope', norm_out=False, out_indices=(3, 7, 11), img_size=64)
    return DEIM(vit, 7, side_dim=8, **SIZES)


def their_deimv2_n(official):
    """Two levels of HGNetV2."""
    backbone = official.HGNetv2('B0', use_lab=True, return_idx=[2, 3], freeze_at=-1, freeze_norm=False,
                                pretrained=False)
    return Detector(
        backbone, encoder(official, [512, 1024], version='dfine', fuse_op='sum', feat_strides=[16, 32],
                          use_encoder_idx=[1]),
        official.DEIMTransformer(**decoder_options(levels=2, num_levels=2, feat_strides=[16, 32]), activation='silu',
                                 mlp_act='silu'))


def our_deimv2_n():
    return DEIM(TimmPyramid('hgnetv2_b0', out_indices=(2, 3)), 7, num_points=(6, 6), branch_convs=True, **SIZES)


def their_d_fine(official):
    """Levels wider than the decoder, as in D-FINE-X, of one of our backbones in the place of HGNetV2."""
    backbone = pyramid(out_indices=(1, 2, 3))
    return Detector(backbone, encoder(official, list(backbone.out_channels), 40),
                    official.DFINETransformer(**decoder_options(40)))


def our_d_fine():
    return DEIM(pyramid(out_indices=(1, 2, 3)), 7, encoder_dim=40, fusion='cat', branch_convs=True, style='d-fine',
                activation='relu', position_dims=(64, ), project_proposals=True, update_positions=True, **SIZES)


KINDS = dict(deimv2=(their_deimv2, our_deimv2), deimv2_n=(their_deimv2_n, our_deimv2_n),
             d_fine=(their_d_fine, our_d_fine))


def names_of(network):
    """Name, shape and, of constants, values of each tensor."""
    return [(name, list(tensor.shape), tensor.flatten().tolist() if is_constant(name, tensor) else None)
            for name, tensor in network.state_dict().items()]


def is_constant(name, tensor):
    return not tensor.is_floating_point() or 'rope' in name or name.endswith(('num_points_scale', 'reg_scale', '.up'))


@cache
def recorded_names():
    return json.loads(NAMES.read_text())


def checkpoint(kind, names):
    """Random values for each name, of a size that lets neither boxes leave the image nor signals grow."""
    generator, state = torch.Generator().manual_seed(0), {}
    for name, shape, constant in names:
        if constant is not None:
            dtype = torch.long if 'num_batches' in name else torch.float32
            state[name] = torch.tensor(constant, dtype=dtype).view(shape)
            continue
        tensor = torch.randn(shape, generator=generator) * (.3 if len(shape) > 1 else .6)
        if 'running_var' in name:
            tensor.abs_()
        elif kind != 'd_fine' and ('enc_score_head' in name or 'enc_bbox_head.layers.0' in name):
            tensor.mul_(2e-4)  # read a memory without a norm; their costs end where 1e-8 is added to logarithms
        elif 'bbox_head' in name and 'layers.2' in name:
            tensor.mul_(.2)
        elif name.startswith(('backbone.stem', 'backbone.stages')) and len(shape) == 4 and kind == 'deimv2_n':
            tensor.mul_(tensor[0].numel()**-.5 / .3)
        elif len(shape) > 1:
            tensor.mul_(.6)
        state[name] = tensor
    return state


def load(kind, state, folder):
    """Our network with a checkpoint of the authors."""
    torch.save(dict(model=state), folder / 'theirs.pth')
    ours = randomise(KINDS[kind][1](), 1)
    report = load_weights(ours, folder / 'theirs.pth')
    assert not report.missing
    assert not [name for name in report.left if 'num_points_scale' not in name and 'rope' not in name]
    return ours


def images():
    """Squares, for the authors lay out positions column by column and maps row by row."""
    return torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))


def without_batch_statistics(network):
    for module in network.train().modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return network


@torch.no_grad()
def predictions(ours):
    answer = ours.eval()(images())[-1]
    return [answer.logits[:, 0], answer.boxes[:, 0]]


def losses(kind, ours):
    """By their names; but for what is weighed there by the numbers of the queries that are no noise."""
    options = dict(class_loss='vfl', gamma=2.) if kind == 'd_fine' else {}
    torch.manual_seed(0)
    found = DEIMLoss(7, **options)(without_batch_statistics(ours)(images(), TARGETS), TARGETS)
    return {name: found[name].detach() for name in sorted(found) if not ('distill' in name and 'dn' in name)}


def their_losses(kind, official, theirs):
    """By our names."""
    own, gamma = ('vfl', 2.) if kind == 'd_fine' else ('mal', 1.5)
    criterion = official.DEIMCriterion(
        official.HungarianMatcher(dict(cost_class=2, cost_bbox=5, cost_giou=2), use_focal_loss=True),
        {f'loss_{own}': 1, 'loss_bbox': 5, 'loss_giou': 2, 'loss_fgl': .15, 'loss_ddf': 1.5},
        [own, 'boxes', 'local'], alpha=.75, gamma=gamma, num_classes=7)
    torch.manual_seed(0)
    found = criterion(without_batch_statistics(theirs)(images(), LABELS), LABELS)
    names = dict(loss_cls=own, loss_bbox='bbox', loss_iou='giou', loss_edge='fgl', loss_distill='ddf')
    places = {'': '', 'd0.': '_enc_0', 'd1.': '_pre', 'd2.': '_aux_0', 'd3.': '_aux_1', 'dn1.': '_dn_pre',
              'dn2.': '_dn_0', 'dn3.': '_dn_1', 'dn.': '_dn_2'}
    return {place + name: found[f'loss_{their}{their_place}'].detach()
            for place, their_place in places.items() for name, their in names.items()
            if f'loss_{their}{their_place}' in found}


@pytest.mark.parametrize('kind', KINDS)
def test_official__predictions_and_losses(kind, tmp_path):
    official = official_deim()
    theirs = KINDS[kind][0](official)
    if os.environ.get('DENSEVIT_WRITE_GOLDEN'):
        record = recorded_names() if NAMES.exists() else {}
        record[kind] = names_of(theirs)
        NAMES.write_text('{' + ',\n'.join(f'{json.dumps(key)}: ' + '[' + ',\n'.join(map(json.dumps, rows)) + ']'
                                           for key, rows in record.items()) + '}\n')
        recorded_names.cache_clear()
    state = checkpoint(kind, names_of(theirs))
    theirs.eval().load_state_dict(state)
    with torch.no_grad():
        answer = theirs(images())
    expected, ours = [answer['pred_logits'], answer['pred_boxes']], load(kind, state, tmp_path)
    assert_close(predictions(ours), expected, 1e-4)
    found, all_expected = losses(kind, ours), their_losses(kind, official, theirs)
    for name, loss in found.items():
        torch.testing.assert_close(loss, all_expected[name], rtol=1e-4, atol=1e-5, check_dtype=False, msg=name)
    write_golden(f'deim_{kind}', [*expected, torch.stack([all_expected[name].float() for name in found])])


@pytest.mark.parametrize('kind', KINDS)
def test_recorded_predictions_and_losses(kind, tmp_path):
    ours = load(kind, checkpoint(kind, recorded_names()[kind]), tmp_path)
    assert_golden(f'deim_{kind}', [*predictions(ours), torch.stack(list(losses(kind, ours).values()))])

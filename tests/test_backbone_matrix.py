"""Every kind of backbone under the heads of mmsegmentation and mmdetection: by config alone.

Only ``model.backbone`` and the channels of the stock configs are set; the rest of the settings makes them small.
"""
from __future__ import annotations

from typing import Any

import pytest
import torch
from stock_models import build, detection_batch, predict, segmentation_batch, train_one_step
from torch import nn

SIZE = (64, 96)
SIZES = [SIZE, (64, 80)]
VIT = dict(embed_dim=16, depth=4, num_heads=2, patch_size=16, img_size=64)
WINDOWS = dict(window_size=2, global_blocks=(1, 3))
ABSOLUTE_WINDOW = dict(pos_embed='absolute_window', pos_embed_grid=2, global_pos_grid=3)
TIMM = dict(swin=('swin_tiny_patch4_window7_224', dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))),
            convnext=('convnext_atto', dict(depths=(1, 1, 1, 1), dims=(16, 32, 48, 64))),
            pvt=('pvt_v2_b0', dict(embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1))))


def backbone(kind: str, num_maps: int) -> tuple[dict[str, Any], list[int]]:
    """A backbone that gives the coarsest maps of strides 4, 8, 16, 32, and their channels."""
    if kind in ('SFP', 'SFP with windows'):
        vit = VIT if kind == 'SFP' else {**VIT, **WINDOWS, **ABSOLUTE_WINDOW}
        scales = (4., 2., 1., .5)[-num_maps:]
        levels = dict(out_channels=16, scale_factors=scales)
        return dict(type='densevit.SimpleFeaturePyramid', vit=vit, **levels), [16] * num_maps
    indices = tuple(range(4))[-num_maps:]
    if kind in ('ViTAdapter', 'ViTCoMer'):
        sizes = dict(vit=VIT, num_heads=2, conv_inplane=8)
        return dict(type=f'densevit.{kind}', out_indices=indices, **sizes), [16] * num_maps
    if kind == 'HieraDet':
        sizes = dict(embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), global_att_blocks=(3, ))
        return dict(type='densevit.HieraDet', out_indices=indices, **sizes), [16, 32, 64, 128][-num_maps:]
    name, sizes = TIMM[kind]
    channels = dict(swin=[16, 32, 64, 128], convnext=[16, 32, 48, 64], pvt=[16, 32, 40, 64])[kind]
    return dict(type='densevit.TimmPyramid', name=name, out_indices=indices, **sizes), channels[-num_maps:]


BACKBONES = ('SFP', 'SFP with windows', 'ViTAdapter', 'ViTCoMer', 'HieraDet', *TIMM)

ROI_HEAD = {f'roi_head.{key}': 16 for key in (
    'bbox_roi_extractor.out_channels', 'mask_roi_extractor.out_channels', 'bbox_head.in_channels',
    'bbox_head.fc_out_channels', 'mask_head.in_channels', 'mask_head.conv_out_channels')}
DETR = {'encoder.num_layers': 1, 'decoder.num_layers': 2, 'num_queries': 20, 'test_cfg.max_per_img': 5}
# config, maps that it reads, and what makes it small
DETECTORS = {
    'Mask R-CNN': ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco', 4, {
        'neck.out_channels': 16, 'rpn_head.in_channels': 16, 'rpn_head.feat_channels': 16, **ROI_HEAD,
        'roi_head.mask_head.num_convs': 1, 'test_cfg.rpn.max_per_img': 20, 'test_cfg.rcnn.score_thr': 0.,
        'test_cfg.rcnn.max_per_img': 5}),
    'RetinaNet': ('retinanet/retinanet_r50_fpn_1x_coco', 3, {
        'neck.start_level': 0, 'neck.out_channels': 16, 'bbox_head.in_channels': 16, 'bbox_head.feat_channels': 16,
        'bbox_head.stacked_convs': 1, 'test_cfg.score_thr': 0., 'test_cfg.max_per_img': 5}),
    'DINO': ('dino/dino-4scale_r50_8xb2-12e_coco', 3, DETR),
    'Deformable DETR': ('deformable_detr/deformable-detr_r50_16xb2-50e_coco', 3, DETR),
}
SEGMENTORS = {
    'UPerNet': ('upernet/upernet_r18_4xb2-40k_cityscapes-512x1024', {
        'decode_head.channels': 16, 'auxiliary_head.channels': 16}),
    'SegFormer': ('segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024', {'decode_head.channels': 16}),
    'Mask2Former': ('mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024', {
        'decode_head.num_queries': 10, 'decode_head.pixel_decoder.encoder.num_layers': 1,
        'decode_head.transformer_decoder.num_layers': 2, 'decode_head.train_cfg.num_points': 64}),
}


def assert_backbone_learns(model: nn.Module) -> None:
    """Gradients reach all of it, whatever the head: processes that train together wait for each of them."""
    without = [name for name, parameter in model.backbone.named_parameters() if parameter.grad is None]
    assert not without


# Every backbone under a head that reads four maps and one that reads three; heads that read alike, under some.
SOME = ('SFP with windows', 'HieraDet', 'swin')


def cases(heads, with_all):
    return [(kind, head) for head in heads for kind in (BACKBONES if head in with_all else SOME)]


@pytest.mark.parametrize(('kind', 'head'), cases(DETECTORS, ('Mask R-CNN', 'DINO')))
def test_detector(kind, head):
    pytest.importorskip('mmdet')
    config, num_maps, overrides = DETECTORS[head]
    ours, channels = backbone(kind, num_maps)
    model = build('mmdet', config, {'backbone': dict(ours, _delete_=True), 'neck.in_channels': channels, **overrides})
    batch = detection_batch(SIZES)
    train_one_step(model, batch)
    assert_backbone_learns(model)
    for result in predict(model, batch):
        found = result.pred_instances
        assert len(found) and found.bboxes.isfinite().all()


@pytest.mark.parametrize(('kind', 'head'), cases(SEGMENTORS, ('UPerNet', )))
def test_segmentor(kind, head):
    pytest.importorskip('mmseg')
    config, overrides = SEGMENTORS[head]
    ours, channels = backbone(kind, 4)
    overrides = {'backbone': dict(ours, _delete_=True), 'decode_head.in_channels': channels, **overrides}
    if head == 'UPerNet':
        overrides['auxiliary_head.in_channels'] = channels[2]
    model = build('mmseg', config, {'data_preprocessor.size': SIZE, **overrides})
    batch = segmentation_batch(SIZE)
    train_one_step(model, batch)
    assert_backbone_learns(model)
    for result in predict(model, batch):
        assert result.seg_logits.data.shape == (19, *SIZE) and torch.isfinite(result.seg_logits.data).all()

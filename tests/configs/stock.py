"""Configs on mmseg's and mmdet's own models, and what makes them small enough for a test."""
from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from shrink import SIZE, scope
from torch import nn

from densevit.models.pretraining import without_pretraining

WIDTH = 32
_SMALL: dict[str, Any] = dict(
    dict.fromkeys(('in_channels', 'out_channels', 'feat_channels', 'conv_out_channels', 'embed_dims', 'channels',
                   'fc_out_channels', 'feedforward_channels'), WIDTH),
    num_heads=4, num_layers=1, num_queries=8, num_points=64, num_feats=WIDTH // 2, num_groups=8,
    nms_pre=32, max_per_img=16, num=16, score_thr=0.)
# Widths of DETRs are written in mmdetection's code too, and a decoder's first layer lacks parts of the others.
_SMALL_DETR = dict(num_layers=2, num_queries=8)
_TINY_SWIN = dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
_TINY_VIT = dict(embed_dim=WIDTH, depth=4, num_heads=2)
_TINY_HIERA = dict(embed_dim=8, stages=(1, 1, 2, 1), num_heads=1, global_att_blocks=(3, ))


def shrink(cfg: Config) -> Config:
    """The same config with thin layers, few queries and boxes, and images of 64x64; its structure stays."""
    model = without_pretraining(cfg.model)
    backbone, channels = model.pop('backbone'), model.get('neck') and model.neck.in_channels
    is_detr = {'encoder', 'decoder'} <= model.keys()
    _thin(model, _SMALL_DETR if is_detr else _SMALL)
    if 'vit' in backbone:
        backbone.vit.update(_TINY_VIT)
        if 'img_size' in backbone.vit:
            backbone.vit.img_size = SIZE[0]
        if backbone.vit.get('window_size'):
            backbone.vit.update(global_blocks=(1, 3))
        if backbone.vit.get('pos_embed') != 'absolute_window' and backbone.vit.get('window_size'):
            backbone.vit.window_size = 3
        if 'out_channels' in backbone or backbone.type == 'densevit.SimpleFeaturePyramid':
            backbone.out_channels = WIDTH
        if is_detr:
            model.neck.in_channels = [WIDTH] * len(channels)
    elif 'swin' in backbone.get('name', ''):
        backbone.update(_TINY_SWIN)
        model.neck.in_channels = [16 * 2**stage for stage in backbone.get('out_indices', range(4))]
    elif backbone.type == 'densevit.TimmPyramid':  # as small as it is
        model.neck.in_channels = channels
    else:
        backbone.update(_TINY_HIERA)
        model.neck.in_channels = [8 * 2**stage for stage in backbone.get('out_indices', range(4))]
    if 'size' in model.data_preprocessor:
        model.data_preprocessor.size = SIZE
    if 'crop_size' in model.test_cfg:
        model.test_cfg.update(crop_size=SIZE, stride=(SIZE[0] // 2, ) * 2)
    if model.data_preprocessor.get('pad_size_divisor', 0) > 64:
        model.data_preprocessor.pad_size_divisor = 64
    cfg.model = ConfigDict(model, backbone=backbone)
    return cfg


def _thin(node: Any, small: dict[str, Any]) -> None:
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        _thin(child, small)
    if isinstance(node, dict):
        for key, value in node.items():
            if key in small and isinstance(value, int | float):
                node[key] = small[key]
            elif key == 'in_channels' and key in small:
                node[key] = [WIDTH] * len(value)


def build(cfg: Config) -> nn.Module:
    """The model of a config, as the runner has it on one process."""
    torch.manual_seed(0)
    with scope(cfg):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        model.init_weights()
    return model


def detection_batch(num_classes: int = 80) -> dict[str, list]:
    """Two images of different sizes with boxes and masks, as a dataloader gives them."""
    from mmdet.structures import DetDataSample  # after densevit, which gives mmcv its operators
    from mmdet.structures.mask import BitmapMasks
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for height, width in ((64, 48), (50, 64)):
        boxes = torch.tensor([[4., 6., 30., 40.], [20., 10., width - 2, height - 4]])
        masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(metainfo=dict(
            img_shape=(height, width), ori_shape=(height, width), scale_factor=(1., 1.), img_id=0))
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor([3, 17]) % num_classes, masks=BitmapMasks(masks.numpy(), height, width))
        inputs.append(torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


"""Configs of our own models, and what makes them small enough for a test."""
from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData
from shrink import SIZE, batch, scope
from torch import nn

from densevit.models.pretraining import without_pretraining

WIDTH, DEPTH = 32, 6
# Arguments of networks, whether a config gives them or not.
_SMALL_HEAD: dict[str, Any] = dict(
    num_queries=8, embed_dim=WIDTH, hidden_dim=WIDTH, num_heads=2, encoder_layers=1, decoder_layers=2,
    encoder_ffn_dim=WIDTH, decoder_ffn_dim=WIDTH, ffn_dim=WIDTH, mask_dim=WIDTH, pixel_dim=WIDTH, width=WIDTH,
    query_grid=4, shrink_block=2, channels=(WIDTH, ) * 4, decoder_channels=(64, 32, 32, 16), decoder_depths=(1, ) * 4,
    residual_blocks=(2, 5), detail_channels=(8, ) * 3, fusion_channels=(8, ) * 4)
_SMALL_LOSS = dict(num_points=64)
_SMALL_PYRAMIDS = dict(
    swin=dict(embed_dim=16, depths=(1, ) * 4, num_heads=(1, 1, 2, 2)),
    convnext=dict(dims=(8, 16, 24, 32), depths=(1, ) * 4),
    resnet=dict(name='resnet10t'),
    pvt=dict(name='pvt_v2_b0'),
    mit=dict(name='mit_b0'))


def shrink(cfg: Config) -> Config:
    """The same config with thin layers, few queries and images of 64x64; its structure stays."""
    model = without_pretraining(cfg.model)
    _thin_backbone(model.backbone)
    _thin_head(model.head)
    loss = MODELS.get(model.head.type).loss_class
    _give_known(loss, model.setdefault('criterion', ConfigDict()), _SMALL_LOSS)
    if 'size' in model.data_preprocessor:
        model.data_preprocessor.size = SIZE
    if model.data_preprocessor.get('pad_size_divisor', 0) > SIZE[0]:
        model.data_preprocessor.pad_size_divisor = SIZE[0]
    for augment in model.data_preprocessor.get('batch_augments') or ():
        if 'size' in augment:
            augment.size = SIZE
    if 'crop_size' in (model.get('test_cfg') or {}):
        model.test_cfg.crop_size = SIZE
        if model.test_cfg.get('stride'):
            model.test_cfg.stride = (SIZE[0] // 2, ) * 2
    cfg.model = model
    return cfg


def _thin_backbone(backbone: ConfigDict) -> None:
    if 'vit' in backbone:
        _thin_backbone(backbone.vit)
        if backbone.type == 'densevit.SimpleFeaturePyramid':
            backbone.out_channels = WIDTH
        else:
            backbone.num_heads = 2
            backbone.pop('interaction_indexes', None)
    elif backbone.get('type') == 'densevit.TimmPyramid':
        family = next(family for family in _SMALL_PYRAMIDS if backbone.name.startswith(family))
        backbone.update(_SMALL_PYRAMIDS[family])
        if 'img_size' in backbone:
            backbone.img_size = SIZE
    else:
        backbone.update(img_size=SIZE, embed_dim=WIDTH, depth=DEPTH, num_heads=2)
        if backbone.get('frozen_stages', -1) > 0:  # all of it
            backbone.frozen_stages = DEPTH + 1
        if levels := backbone.get('out_indices', ()):
            backbone.out_indices = tuple(DEPTH - len(levels) + index for index in range(len(levels)))
        if backbone.get('num_windows'):
            backbone.global_blocks = (2, 5)
        if backbone.get('window_size'):
            tiled = backbone.get('pos_embed', 'interpolate') != 'interpolate'  # positions of a window of SIZE
            backbone.update(window_size=SIZE[0] // 16 if tiled else 3, global_blocks=(2, 5))


def _thin_head(head: ConfigDict) -> None:
    _give_known(MODELS.get(head.type), head, _SMALL_HEAD)
    for child in head.values():
        if isinstance(child, dict) and 'backbone' in child:  # a network that makes proposals
            _thin_backbone(child.backbone)
            _thin_head(child)


def _give_known(cls: type, options: dict[str, Any], small: dict[str, Any]) -> None:
    names = inspect.signature(cls).parameters
    options.update({name: value for name, value in small.items() if name in names})


def build(cfg: Config) -> nn.Module:
    """The model of a config, in train mode."""
    torch.manual_seed(0)
    with scope(cfg):
        return MODELS.build(cfg.model)


def task_batch(task: str, num_classes: int, stuff: set[int]) -> dict[str, list]:
    """Two synthetic images with what a task learns from, as mmsegmentation's or mmdetection's pipelines give them."""
    data = batch(num_classes or 1)
    if task == 'depth':
        for sample in data['data_samples']:
            sample.gt_depth_map = PixelData(data=torch.linspace(1, 3, SIZE[1]).expand(1, *SIZE).clone())
        return data
    if task == 'matting':
        for sample in data['data_samples']:
            sample.gt_alpha = PixelData(data=torch.linspace(0, 1, SIZE[1]).expand(1, *SIZE).clone())
            sample.trimap = PixelData(data=torch.full((1, *SIZE), .5))
        return data
    if task == 'semantic':
        return data
    from mmdet.structures.mask import BitmapMasks  # after densevit, which gives mmcv its operators
    things = [label for label in range(num_classes) if label not in stuff]
    for sample in data['data_samples']:
        masks = np.zeros((2, *SIZE), np.uint8)
        masks[0, 4:30, 6:40] = masks[1, 28:60, 20:50] = 1
        sample.gt_instances = InstanceData(
            masks=BitmapMasks(masks, *SIZE), labels=torch.tensor([things[0], things[-1]]),
            bboxes=torch.tensor([[6., 4., 40., 30.], [20., 28., 50., 60.]]))
        labels = sample.gt_sem_seg.data
        del sample.gt_sem_seg
        if task == 'panoptic':
            sample.set_data(dict(gt_sem_seg=PixelData(sem_seg=labels)))
    return data

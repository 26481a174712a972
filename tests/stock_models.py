"""Models that mmdet and mmseg ship as configs, made small, and what they train on and predict."""
from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch import nn

from densevit.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()  # before anything imports mmcv.ops

Sizes = Sequence[tuple[int, int]]
SIZES = [(96, 128), (64, 112)]  # height, width


@cache
def stock_config(package: str, config: str) -> Config:
    """A config of an installed package."""
    root = Path(importlib.import_module(package).__file__).parent
    return Config.fromfile(root / '.mim' / 'configs' / f'{config}.py')


def build(package: str, config: str, overrides: dict[str, Any]) -> nn.Module:
    """A model of a stock config with other settings (``'backbone.depth'``) and random weights."""
    cfg = copy.deepcopy(stock_config(package, config))
    cfg.merge_from_dict({f'model.{key}': value for key, value in overrides.items()})
    without_pretraining(cfg.model)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(package):
        model = importlib.import_module(f'{package}.registry').MODELS.build(cfg.model)
        model.init_weights()
    return revert_sync_batchnorm(model)


def without_pretraining(cfg: Any) -> None:
    """Nothing is downloaded: neither `pretrained` nor `init_cfg` of type Pretrained stays, at any depth."""
    if isinstance(cfg, dict):
        cfg.pop('pretrained', None)
        if isinstance(cfg.get('init_cfg'), dict) and cfg['init_cfg'].get('type') == 'Pretrained':
            cfg['init_cfg'] = None
        for value in cfg.values():
            without_pretraining(value)


def detection_batch(sizes: Sizes = SIZES) -> dict[str, list]:
    """Images of 64 pixels or more with two objects each."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    inputs, samples = [], []
    batch_shape = tuple(max(sides) for sides in zip(*sizes, strict=True))
    for height, width in sizes:
        boxes = torch.tensor([[8.0, 6.0, 60.0, 50.0], [30.0, 20.0, width - 10, height - 5]])
        masks = torch.zeros(2, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        shape = dict(img_shape=(height, width), ori_shape=(height, width), batch_input_shape=batch_shape)
        sample = DetDataSample(metainfo=dict(shape, pad_shape=(height, width), scale_factor=(1.0, 1.0), img_id=0))
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor([3, 17]), masks=BitmapMasks(masks.numpy(), height, width)
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        inputs.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def segmentation_batch(size: tuple[int, int] = SIZES[0]) -> dict[str, list]:
    """Two images of multiples of 16 pixels with labels of 19 classes, and some without."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples, inputs = [], torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    for _ in inputs:  # two: with one image, batch normalization of the 1 x 1 pooled branch has a single value
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size))
        labels = torch.randint(0, 19, (1, size[0] // 16, size[1] // 16))
        labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)
        labels[:, :8] = 255
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=list(inputs), data_samples=samples)


def train_one_step(model: nn.Module, batch: dict[str, list]) -> None:
    model.train()
    loss, parts = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
    assert loss.isfinite() and len(parts) > 1
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(grad.isfinite().all() for grad in grads.values())
    assert any(grads[name].any() for name in grads if name.startswith('backbone'))
    torch.optim.SGD(model.parameters(), 1e-4).step()


@torch.no_grad()
def predict(model: nn.Module, batch: dict[str, list]) -> list:
    model.eval()
    return model(**model.data_preprocessor(batch, False), mode='predict')

"""Memory of a training step: all of a model, with a frozen backbone, and with low-rank adapters in it."""
from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn

from ..backbones import Backbone
from ..inference.pipeline import in_scope
from ..models.base import DenseModel
from ..models.lora import TARGETS, adapted_layers
from ..models.pretraining import without_pretraining
from ..registry import read_config
from ..weights import safe_reading
from .models import Setting
from .timing import peak_bytes

FULL = 'full'
COLUMNS = ('run', 'trained M', 'weights MB', 'optimizer MB', 'step MB', 'peak MB', 'of full')
_ADAMW = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4))
_OF_PRECISION = ('dtype', 'loss_scale', 'use_fsdp')  # of a config's optim_wrapper; here the setting says it


@dataclass(frozen=True)
class MemoryReport:
    """What a run holds.

    Attributes:
        name: What it trains.
        trained: The number of parameters that learn.
        weights: Bytes of all parameters and buffers.
        optimizer: Bytes of what the optimizer keeps between steps: AdamW's two moments of what learns.
        step: The most bytes that a step holds on top of these at any time: activations and gradients.
    """
    name: str
    trained: int
    weights: int
    optimizer: int
    step: int

    @property
    def peak(self) -> int:
        return self.weights + self.optimizer + self.step


def variants(cfg: Config, lora: Mapping[str, Any], recompute: bool = False) -> dict[str, dict[str, Any]]:
    """Options of the backbone for each run, by its name.

    Args:
        cfg: A config whose model has one of our backbones.
        lora: Options of the adapters, see :func:`densevit.models.lora.add_lora`.
        recompute: Whether each is measured with ``grad_checkpointing`` as well.

    Raises:
        ValueError: The model has no backbone of ours.
    """
    plain = {key: value for key, value in cfg.model.backbone.items() if key not in ('lora', 'frozen_stages')}
    with in_scope(cfg):
        backbone = MODELS.build(without_pretraining(plain))
    if not isinstance(backbone, Backbone):
        raise ValueError(f'{cfg.filename}: only backbones of densevit are frozen and adapted so')
    lora = {**(cfg.model.backbone.get('lora') or {}), **lora}
    last = max(stage for name, _ in backbone.named_parameters() if (stage := backbone.stage_index(name)) is not None)
    adapted = sorted({backbone.stage_index(name) for name in adapted_layers(backbone, lora.get('targets', TARGETS))})
    half = adapted[(len(adapted) - 1) // 2]
    runs = {
        FULL: dict(lora=None, frozen_stages=-1),
        'frozen backbone': dict(lora=None, frozen_stages=last),
        'LoRA': dict(lora=lora, frozen_stages=-1),
        'LoRA in attention': dict(lora=dict(lora, targets=('attn', )), frozen_stages=-1),
        f'LoRA, {half} of {adapted[-1]} stages frozen': dict(lora=lora, frozen_stages=half)}
    if recompute:
        runs.update({f'{name}, recomputed': dict(options, grad_checkpointing=True)
                     for name, options in list(runs.items()) if options['frozen_stages'] == -1})
    return runs


def measure(
    path: str | Path,
    setting: Setting,
    lora: Mapping[str, Any],
    recompute: bool = False,
    objects: int = 10,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[MemoryReport]:
    """Measure a step of each of the :func:`variants` of a config; the full one comes first.

    Args:
        path: A config.
        setting: Size and number of the images, device and precision.
        lora, recompute: See :func:`variants`.
        objects: Objects in each image.
        advance: Called with how many are done, and how many there are.

    Raises:
        ValueError: The config has no model, or its model no backbone of ours.
    """
    cfg = read_config(path)
    if 'model' not in cfg:
        raise ValueError(f'{path} has no model')
    runs = variants(cfg, lora, recompute)
    for index, (name, options) in enumerate(runs.items()):
        advance(index, len(runs))
        yield _measure(name, cfg, options, setting, objects)
        gc.collect()  # models hold themselves


def _measure(name: str, cfg: Config, options: dict[str, Any], setting: Setting, objects: int) -> MemoryReport:
    torch.manual_seed(0)
    model = _build(cfg, options).to(setting.device).train()
    wrapper = {key: value for key, value in cfg.get('optim_wrapper', _ADAMW).items() if key not in _OF_PRECISION}
    with in_scope(cfg):
        optimizer = build_optim_wrapper(model, dict(wrapper, type='OptimWrapper')).optimizer
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learned:  # a step of zeros, after which the optimizer has its state
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    images = setting.images(setting.batch)
    samples = [example(model, images.shape[-2:], objects, seed).to(setting.device) for seed in range(setting.batch)]

    def step() -> None:
        with setting.autocast():
            losses = model(images, samples, mode='loss')
        loss, _ = model.parse_losses(losses)
        del losses
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    moments = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return MemoryReport(
        name, sum(parameter.numel() for parameter in learned), _bytes([*model.parameters(), *model.buffers()]),
        _bytes(moments), peak_bytes(step, setting.device))


def _build(cfg: Config, options: Mapping[str, Any]) -> nn.Module:
    model = copy.deepcopy(cfg.model)
    model.backbone.update(options)
    with in_scope(cfg), safe_reading():
        return MODELS.build(without_pretraining(model))


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def example(model: nn.Module, size: Sequence[int], objects: int, seed: int = 0) -> BaseDataElement:
    """A data sample with all that models learn from: objects with boxes and masks, maps of classes and of metres."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    corners = torch.rand(objects, 2, 2, generator=generator).sort(1).values * torch.tensor([width - 8, height - 8])
    boxes = torch.cat((corners[:, 0], corners[:, 1] + 8), dim=1)  # 8 pixels wide at least
    masks = torch.zeros(objects, height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    labels = torch.zeros(objects, dtype=torch.int64)  # a class that all have
    classes = masks.any(0)[None].long()
    meta = dict(img_shape=(height, width), ori_shape=(height, width), pad_shape=(height, width),
                batch_input_shape=(height, width), scale_factor=(1., 1.))
    if isinstance(model, DenseModel):
        sample, maps = BaseDataElement(metainfo=meta), PixelData(data=classes)
        sample.gt_depth_map = PixelData(data=1. + torch.rand(1, height, width, generator=generator))
    elif hasattr(model, 'decode_head'):
        from mmseg.structures import SegDataSample
        sample, maps = SegDataSample(metainfo=meta), PixelData(data=classes)
    else:
        from mmdet.structures import DetDataSample
        from mmdet.structures.mask import BitmapMasks
        sample, maps = DetDataSample(metainfo=meta), PixelData(sem_seg=classes)
        masks = BitmapMasks(masks.numpy().astype('uint8'), height, width)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=masks)
    sample.gt_sem_seg = maps
    return sample


def rows(reports: Sequence[MemoryReport]) -> list[tuple[str, ...]]:
    """A line of text for each run, in the order of ``COLUMNS``; ratios are to the first."""
    return [(
        report.name,
        f'{report.trained / 1e6:.2f}',
        f'{report.weights / 1e6:.0f}',
        f'{report.optimizer / 1e6:.0f}',
        f'{report.step / 1e6:.0f}',
        f'{report.peak / 1e6:.0f}',
        f'{report.peak / reports[0].peak:.0%}',
    ) for report in reports]


def markdown(reports: Sequence[MemoryReport], caption: str) -> str:
    """The table for a page of text."""
    lines = [COLUMNS, ['---', *['---:'] * (len(COLUMNS) - 1)], *rows(reports)]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + f'\n\n{caption}\n'

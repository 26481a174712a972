"""A run of some milliseconds: a linear model, four numbers for an image, and a metric that says what it is told."""
from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import torch
from checkout import forget_runs
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.data import Dataset

from densevit.engine import run_config
from densevit.pickles import load_torch


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """Has a gradient of NaN, beside a finite loss, for images in ``broken``, and a large one for those in ``steep``.

    Args:
        width: Of a hidden layer.
    """

    def __init__(self, width: int = 3, broken: tuple[int, ...] = (), steep: tuple[int, ...] = (),
                 slope: float = 1e10) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))
        self.spare = nn.Parameter(torch.zeros(2))
        self.broken, self.steep, self.slope = broken, steep, slope

    def forward(self, inputs: list[Tensor], data_samples: list[Any], mode: str = 'tensor') -> Any:
        weight = self.layers[0].weight
        loss = self.layers(torch.stack(inputs)).square().mean()
        indices = [int(sample.img_path.removesuffix('.jpg')) for sample in data_samples]
        if set(indices) & set(self.broken):
            loss = loss + (weight * 0).sqrt().sum()
        loss = loss + (self.slope if set(indices) & set(self.steep) else 0.) * self.spare.sum()
        return dict(loss=loss) if mode == 'loss' else data_samples


@DATASETS.register_module(force=True)
class ToyData(Dataset):
    metainfo = dict(classes=('one', ))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        values = torch.rand(4, generator=torch.Generator().manual_seed(index))
        return dict(inputs=values, data_samples=BaseDataElement(metainfo=dict(img_path=f'{index}.jpg')))


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    """Gives the next of some figures at each validation."""

    def __init__(self, figures: list[dict[str, float]]) -> None:
        super().__init__()
        self.figures = list(figures)

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        return self.figures.pop(0)


@HOOKS.register_module(force=True)
class SignalHook(Hook):
    """Sends a signal before an iteration of training, or in a validation after this many iterations."""

    def __init__(self, number: int, iteration: int, validating: bool = False) -> None:
        self.number, self.iteration, self.validating = number, iteration, validating

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration and not self.validating:
            signal.raise_signal(self.number)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration and self.validating and batch_idx == 0:
            signal.raise_signal(self.number)


def toy_config(work_dir: Path, **changes: Any) -> Config:
    """Six iterations of one image each, 0 to 5, with averaged weights and a checkpoint after every other."""
    loader = dict(batch_size=1, num_workers=0, collate_fn=dict(type='pseudo_collate'))
    cfg = Config(dict(
        work_dir=str(work_dir), default_scope='mmengine', model=dict(type='ToyModel'), randomness=dict(seed=0),
        train_dataloader=dict(dataset=dict(type='ToyData'), sampler=dict(type='InfiniteSampler', shuffle=False),
                              **loader),
        train_cfg=dict(type='densevit.SeededIterLoop', max_iters=6, val_interval=2),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=.1)),
        param_scheduler=[dict(type='LinearLR', start_factor=.5, by_epoch=False, begin=0, end=2),
                         dict(type='PolyLR', by_epoch=False, begin=2)],
        default_hooks=dict(checkpoint=dict(type='densevit.AtomicCheckpointHook', interval=2, by_epoch=False)),
        custom_hooks=[dict(type='densevit.NonFiniteLossHook'), dict(type='EMAHook', momentum=.2)],
        log_processor=dict(by_epoch=False), log_level='WARNING'))
    if figures := changes.pop('figures', None):
        cfg.merge_from_dict(dict(
            val_cfg=dict(), val_evaluator=dict(type='ToyMetric', figures=figures),
            val_dataloader=dict(dataset=dict(type='ToyData'), sampler=dict(type='DefaultSampler', shuffle=False),
                                **loader)))
        cfg.default_hooks.checkpoint.save_best = changes.pop('save_best', 'auto')
    sent = changes.pop('sent', None)
    cfg.update({key: value for key, value in changes.items() if '.' not in key})
    cfg.merge_from_dict({key: value for key, value in changes.items() if '.' in key})
    if sent is not None:
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type='SignalHook', **sent)]
    return cfg


def toy_run(work_dir: Path, resume: str | None = None, **changes: Any) -> Path:
    """Train as ``tools/train.py`` does; the work dir."""
    forget_runs()
    cfg = toy_config(work_dir, **changes)
    run_config.set_resume(cfg, resume)
    run_config.train(cfg)
    return work_dir


def load(path: Path) -> dict[str, Any]:
    return load_torch(path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))

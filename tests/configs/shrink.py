"""Every shipped config, and the options that make it small enough for a test."""
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS, TRANSFORMS, DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import densevit.registry  # noqa: F401
from densevit.datasets.common.transforms import Composite, UntilSegments

ROOT = Path(__file__).parents[2]
# The configs in folders; what lies beside the folders is another name of one of them.
CONFIGS = sorted(path for path in (ROOT / 'configs').glob('*/*.py') if '_base_' not in path.parts)
NAMES = [str(path.relative_to(ROOT)) for path in CONFIGS]
# Those that put a backbone of ours under mmseg's and mmdet's models, and those of our own models.
_STOCK_FOLDERS = ('detection', 'hieradet', 'vit_adapter', 'vit_comer', 'vitdet')
_STOCK_ELSEWHERE = ('faster_rcnn_tiny_bccd', 'mask_rcnn_vitdet_coco8', 'dino_vitadapter_coco8')
STOCK = [name for name in NAMES
         if Path(name).parts[1] in _STOCK_FOLDERS or Path(name).stem in _STOCK_ELSEWHERE]
# Models without classes and, most of them, without a backbone: test_restoration_configs looks at them.
_RESTORATION_FOLDERS = ('atd', 'cat', 'drct', 'hat', 'hit', 'maskdcpt', 'mat', 'ram', 'restormer', 'swin2sr', 'swinir')
RESTORATION = [name for name in NAMES
               if Path(name).parts[1] in _RESTORATION_FOLDERS or Path(name).stem.startswith(('swinir_tiny', 'mat_tiny'))]
OWN = [name for name in NAMES if name not in STOCK + RESTORATION]
SIZE = (64, 64)
# What a user would give to --cfg-options of an EoMT.
OPTIONS = {
    'model.backbone.pretrained': False,
    'model.backbone.img_size': SIZE,
    'model.backbone.embed_dim': 32,
    'model.backbone.depth': 6,
    'model.backbone.num_heads': 2,
    'model.head.num_queries': 8,
    'model.criterion.num_points': 64,
    'model.data_preprocessor.size': SIZE,
    'model.test_cfg.crop_size': SIZE,
}


def load(name: str, **options) -> Config:
    """A config by its path from the root of the repository, with more options like ``OPTIONS``."""
    cfg = deepcopy(_read(name))
    cfg.merge_from_dict(options)
    return cfg


@cache
def _read(name: str) -> Config:
    return Config.fromfile(ROOT / name)


def steps(pipeline: Iterable) -> Iterator[ConfigDict]:
    """The transforms of a pipeline, those within others in their place, and in a composite's what it stands for."""
    for step in pipeline:
        if not isinstance(step, dict):
            yield from steps(step)
        elif _is_composite(step['type']):
            yield from steps(TRANSFORMS.build(dict(step)).transforms)
        else:
            yield ConfigDict(step, type=step['type'].removeprefix('mmengine.'))
            yield from steps(step.get('transforms', ()))


def _is_composite(name: str) -> bool:
    kind = TRANSFORMS.get(name) if name.startswith('densevit.') else None
    return kind is not None and issubclass(kind, Composite) and kind is not UntilSegments


def pipeline(cfg: Config, stage: str) -> list[ConfigDict]:
    """That of the data set of a stage; of several that are joined, of the first."""
    return one_of(cfg[f'{stage}_dataloader'].dataset).pipeline


def one_of(dataset: ConfigDict) -> ConfigDict:
    """The data set, or the first of several that are joined."""
    return dataset.datasets[0] if 'datasets' in dataset else dataset


def scope(cfg: Config):
    """The scope in which mmengine's runner would build the config."""
    return DefaultScope.overwrite_default_scope(cfg.default_scope)


def build_schedulers(cfg: Config, optim_wrapper: OptimWrapper) -> None:
    """Build all schedules of a config for the parameters of its optimizer."""
    schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    for scheduler in schedulers:
        scheduler.setdefault('end', cfg.train_cfg.get('max_iters'))  # as mmengine's runner does
        PARAM_SCHEDULERS.build(dict(scheduler), default_args=dict(optimizer=optim_wrapper))


def batch(num_classes: int, size: tuple[int, int] = SIZE) -> dict:
    """Two synthetic images with labels, as a dataloader gives them."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for _ in range(2):
        coarse = torch.randint(num_classes, (1, 4, 4), generator=generator)
        labels = coarse.repeat_interleave(size[0] // 4, 1).repeat_interleave(size[1] // 4, 2)
        labels[:, 0] = 255
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=labels)
        inputs.append(torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)

"""What a test changes in a config: nothing of training, label maps to write, images in several sizes."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..models.pretraining import without_pretraining

_TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'val_dataloader', 'val_cfg',
                  'val_evaluator', 'runner_type', 'strategy')  # a test needs no shards
_TRAINING_HOOKS = ('EMAHook', )


class OutputFolderError(OSError):
    """A folder for results cannot be used."""


def keep_test_only(cfg: Config) -> None:
    """Take out of a config what only training needs; weights are loaded by the caller.

    Raises:
        ValueError: The config says nothing about testing.
    """
    absent = [key for key in ('test_dataloader', 'test_cfg', 'test_evaluator') if not cfg.get(key)]
    if absent:
        raise ValueError(f'{cfg.filename} has no {absent[0]}, which a test needs')
    for key in _TRAINING_KEYS:
        cfg.pop(key, None)
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or []
                        if hook.get('type', '').rpartition('.')[2] not in _TRAINING_HOOKS]
    cfg.update(load_from=None, resume=False, model=without_pretraining(cfg.model))


def write_labels(cfg: Config, folder: str) -> None:
    """Let mmsegmentation's IoUMetric write each prediction as a PNG of labels.

    Raises:
        OutputFolderError: The folder holds PNG files already.
        ValueError: The config evaluates by another metric.
    """
    if any(Path(folder).glob('*.png')):
        raise OutputFolderError(f'{folder} holds PNG files already, which could be overwritten: choose another --out')
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    ious = [evaluator for evaluator in evaluators if evaluator['type'].rpartition('.')[2] == 'IoUMetric']
    if not ious:
        raise ValueError('--out writes label maps of semantic segmentation, and test_evaluator has no IoUMetric')
    ious[0]['output_dir'] = folder


def augment_tests(cfg: Config, ratios: Sequence[float] = (.75, 1., 1.25)) -> None:
    """Test on resized and mirrored copies of each image and average: ``--tta``.

    The config's ``tta_pipeline`` and ``tta_model`` come first; without them the test pipeline's ``Resize`` is varied.

    Raises:
        ValueError: The model's task is another, or the pipeline has nothing to vary.
    """
    if (task := cfg.model.get('task', 'semantic')) != 'semantic' and not cfg.get('tta_model'):
        raise ValueError(f"--tta averages class scores of semantic segmentation, and model.task is '{task}': leave it "
                         'out')
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = cfg.get('tta_pipeline') or _augmented(dataset.pipeline, ratios)
    cfg.model = dict(cfg.get('tta_model') or dict(type='densevit.SemanticTTA'), module=cfg.model)


def _augmented(pipeline: Sequence[dict[str, Any]], ratios: Sequence[float]) -> list[dict[str, Any]]:
    kinds = [transform['type'].rpartition('.')[2] for transform in pipeline]
    if 'Resize' not in kinds:
        raise ValueError('--tta varies the Resize of the test pipeline, which has none: give the config a tta_pipeline')
    index = kinds.index('Resize')
    flips = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0., 1.)]
    resizes = [_resized(pipeline[index], ratio) for ratio in ratios]
    later = [[transform] for transform in pipeline[index + 1:]]
    return [*pipeline[:index], dict(type='TestTimeAug', transforms=[resizes, flips, *later])]


def _resized(resize: dict[str, Any], ratio: float) -> dict[str, Any]:
    if resize.get('scale') is not None:
        return dict(resize, scale=tuple(round(side * ratio) for side in resize['scale']))
    return dict(resize, scale_factor=ratio * resize.get('scale_factor', 1.))

"""The tasks whose data is looked at before a run: each folder beside this file says in ``checks.py`` what it knows."""
from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from mmengine.registry import DefaultScope

from .common.locate import SPLITS, datasets_of
from .common.task_checks import TaskChecks

# A folder, and the class in its checks.py.
_TASKS = dict(
    segmentation='SegmentationChecks', depth='DepthChecks', restoration='RestorationChecks', matting='MattingChecks')


def task_checks() -> list[type[TaskChecks]]:
    """What each task sees to."""
    return [getattr(import_module(f'{__package__}.{folder}.checks'), name) for folder, name in _TASKS.items()]


def check_configs(cfg: Any, splits: Sequence[str] = SPLITS) -> None:
    """See, before anything is built, that the datasets of a config find images.

    Raises:
        EmptyDatasetError: One finds none, at whose empty list mmengine fails without a word about the reason.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for key, dataset in datasets_of(cfg, splits):
            for checks in task_checks():
                checks.check_config(dataset, key)

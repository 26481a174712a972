"""A config's test pipeline, fed with pictures in memory instead of files."""
from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope


class InferencePipeline:
    """The transforms of ``test_pipeline``, or of ``test_dataloader.dataset.pipeline``, without those that load.

    Raises:
        ValueError: the config has no test pipeline.
    """

    def __init__(self, cfg: Config) -> None:
        import mmcv.transforms  # noqa: F401  registers Resize, Normalize, ... under mmengine's root

        transforms = _test_pipeline(cfg)
        loads = [transform for transform in transforms if _is_loading(transform)]
        self.to_float32 = any(transform.get('to_float32', False) for transform in loads)
        with in_scope(cfg):
            self.compose = Compose([transform for transform in transforms if not _is_loading(transform)])

    def __call__(self, image: np.ndarray, path: str | None = None) -> dict[str, Any]:
        """(H, W, 3) uint8 RGB to a batch of one: ``dict(inputs=[(C, h, w)], data_samples=[...])``."""
        bgr = np.ascontiguousarray(image[..., ::-1])  # the order in which OpenMMLab's loading transforms give pictures
        if self.to_float32:
            bgr = bgr.astype(np.float32)
        packed = self.compose(dict(
            img=bgr, img_path=path, img_id=0, img_shape=bgr.shape[:2], ori_shape=bgr.shape[:2], height=bgr.shape[0],
            width=bgr.shape[1], seg_fields=[], reduce_zero_label=False))
        return dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']])


def in_scope(cfg: Config) -> AbstractContextManager:
    """Resolve bare type names as the config means them, and leave the process's default scope as it was."""
    return DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine')


def _test_pipeline(cfg: Config) -> list[dict[str, Any]]:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and 'dataset' in dataset:  # RepeatDataset and the like
        dataset = dataset['dataset']
    pipeline = cfg.get('test_pipeline') or dataset.get('pipeline')
    if not pipeline:
        raise ValueError('the config has no test pipeline; define test_pipeline or test_dataloader.dataset.pipeline')
    return pipeline


def _is_loading(transform: dict[str, Any]) -> bool:
    """Pictures come from memory, and there are no annotations."""
    kind = transform['type']
    name = kind if isinstance(kind, str) else kind.__name__
    return name.rsplit('.', 1)[-1].startswith(('Load', 'InferencerLoader'))

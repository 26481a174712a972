"""A config's test pipeline, fed with pictures that may be in memory."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from threading import Lock, RLock
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope
from mmengine.structures import BaseDataElement

from ..datasets.common.load_image import to_openmmlab
from ..images import ImageSource, read_deep_with_doubts, read_image, read_with_doubts

_SCOPE_LOCK = RLock()


class InferencePipeline:
    """The transforms of ``test_pipeline``, or of ``test_dataloader.dataset.pipeline``: the one that loads an image, and
    those behind it without annotations. They are built here, once: types' names are not looked up afterwards.

    Raises:
        ValueError: The config has no test pipeline.
    """

    def __init__(self, cfg: Config) -> None:
        transforms = _test_pipeline(cfg)
        loads = [transform for transform in transforms if _is_loading(transform)]
        self.to_float32 = any(transform.get('to_float32', False) for transform in loads)
        self.color_type = next((load['color_type'] for load in loads if 'color_type' in load), 'color')
        with in_scope(cfg):
            self.keep_depth = any(map(_keeps_depth, loads))
            self.compose = Compose([transform for transform in transforms if not _is_loading(transform)])
            self._loader = _stock_loader(loads)
        # Some transforms keep what they find out about an image, as mmseg's ResizeShortestEdge its scale.
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock, of which each copy and each process has its own."""
        return {name: value for name, value in vars(self).items() if name != '_lock'}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    def load(
        self,
        source: ImageSource,
        path: Path | None = None,
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Read a picture for the eye and for the model.

        A file goes through mmcv's ``LoadImageFromFile`` where the config has it, so that the model sees what it saw in
        its training and tests: no alpha, another scale of 16 bits, one channel if its ``color_type`` says so. What that
        cannot read, and pictures in memory, are read by `densevit.images.read_image`, as `densevit.LoadImage` does. A
        loading transform that keeps their depth (``keep_depth``) has pictures of 16 bits stay such for the model.

        Args:
            source: The picture.
            path: Its file, if it is one.

        Returns:
            (H, W, 3) uint8 RGB; (H, W, 3) BGR or (H, W) as the pipeline has it, of one size; and what a user should
            know about the picture.

        Raises:
            ImageError: The picture cannot be read.
        """
        if self.keep_depth:
            image, deep, doubts = read_deep_with_doubts(source)
            return image, to_openmmlab(deep.pixels, self.color_type), doubts
        image, doubts = read_with_doubts(source)
        loaded = _loaded(self._loader, path)
        if loaded is None:
            return image, to_openmmlab(image, self.color_type), doubts
        if _ignores_orientation(self._loader):
            image = read_image(loaded if loaded.ndim == 2 else loaded[..., [2, 1, 0, 3][:loaded.shape[2]]])
        return image, loaded, doubts

    def __call__(self, loaded: np.ndarray, path: Path | None = None) -> tuple[torch.Tensor, BaseDataElement]:
        """The second array of `load` to the model's input (C, h, w) and its data sample."""
        if self.to_float32:
            loaded = loaded.astype(np.float32)
        height, width = loaded.shape[:2]
        with self._lock:
            packed = self.compose(dict(
                img=loaded, img_path=None if path is None else str(path), img_id=0, img_shape=(height, width),
                ori_shape=(height, width), height=height, width=width, seg_fields=[], reduce_zero_label=False))
        return packed['inputs'], packed['data_samples']


@contextmanager
def in_scope(cfg: Config) -> Iterator[None]:
    """Resolve bare type names as the config means them while something is built.

    The process's default scope, which mmengine has no other way to name, is left as it was. Threads that build wait
    for each other.
    """
    with _SCOPE_LOCK, DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'):
        yield


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


def _keeps_depth(load: dict[str, Any]) -> bool:
    """Whether a loading transform leaves pictures of 16 bits as they are, as its options or their defaults say."""
    kind = TRANSFORMS.get(load['type']) if isinstance(load['type'], str) else load['type']
    default = signature(kind).parameters.get('keep_depth')
    return load.get('keep_depth', default is not None and default.default is True)


def _stock_loader(loads: list[dict[str, Any]]) -> LoadImageFromFile | None:
    """mmcv's own transform, if the config has it; others have inputs of their own."""
    for load in loads:
        kind = TRANSFORMS.get(load['type']) if isinstance(load['type'], str) else load['type']
        if kind is LoadImageFromFile:
            return TRANSFORMS.build(dict(load, to_float32=False, ignore_empty=True))
    return None


def _loaded(loader: LoadImageFromFile | None, path: Path | None) -> np.ndarray | None:
    if loader is None or path is None:
        return None
    try:
        results = loader(dict(img_path=str(path)))
    except Exception:  # of OpenCV, tifffile and others, for formats that they do not know
        return None
    return None if results is None else results['img']


def _ignores_orientation(loader: LoadImageFromFile) -> bool:
    return loader.color_type == 'unchanged' or loader.color_type.endswith('ignore_orientation')

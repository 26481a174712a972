"""Class names and colours, from wherever they are written down."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Number
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import DATASETS

from ..visualization.palette import Color
from .pipeline import in_scope


class DatasetMeta(NamedTuple):
    """What the label ids mean; None where that is not known."""

    classes: Sequence[str] | None
    palette: Sequence[Color] | None

    def completed_by(self, other: DatasetMeta) -> DatasetMeta:
        """This with what it lacks from the other; colours only with the classes that they belong to."""
        if self.classes is None:
            return DatasetMeta(other.classes, self.palette or other.palette)
        same = other.classes is not None and list(other.classes) == list(self.classes)
        return DatasetMeta(self.classes, self.palette or (other.palette if same else None))


def dataset_meta(meta: Mapping[str, Any]) -> DatasetMeta:
    """What a checkpoint's ``meta`` says: mmengine's ``dataset_meta``, or ``CLASSES`` and ``PALETTE``."""
    found = meta.get('dataset_meta', meta)
    found = {str(key).lower(): value for key, value in found.items()} if isinstance(found, Mapping) else {}
    return _checked(found)


def config_meta(cfg: Config) -> DatasetMeta:
    """What a config's test dataset says: its ``metainfo``, else what its class declares; else generic names."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    declared = {}
    if 'type' in dataset:
        declared = getattr(_dataset_class(dataset['type'], cfg), 'METAINFO', {})
    given = dataset.get('metainfo') or {}
    found = _checked(given).completed_by(_checked(declared))
    if found.classes is None and (count := _num_classes(cfg.model)):
        return DatasetMeta([f'class {index}' for index in range(count)], None)
    return found


def _dataset_class(kind: str | type, cfg: Config) -> type | None:
    if isinstance(kind, type):
        return kind
    with in_scope(cfg), DATASETS.switch_scope_and_registry(None) as registry:
        return registry.get(kind)


def _checked(meta: Mapping[str, Any]) -> DatasetMeta:
    classes, palette = meta.get('classes'), meta.get('palette')
    if isinstance(classes, str):
        classes = [classes]
    if not isinstance(classes, Sequence) or not classes or not all(isinstance(name, str | Number) for name in classes):
        return DatasetMeta(None, None)
    return DatasetMeta([str(name) for name in classes], palette if _are_colors(palette, len(classes)) else None)


def _are_colors(palette: Any, count: int) -> bool:
    """Whether it has RGB of 0 to 255 for so many classes; mmdet's datasets may say ``palette='random'``."""
    return isinstance(palette, list | tuple) and len(palette) >= count and all(
        isinstance(color, list | tuple) and len(color) == 3
        and all(isinstance(value, Integral) and 0 <= value <= 255 for value in color) for color in palette)


def _num_classes(model: Any) -> int | None:
    """The first ``num_classes`` in a model's config."""
    if isinstance(model, Mapping):
        if isinstance(model.get('num_classes'), int):
            return model['num_classes']
        model = list(model.values())
    if isinstance(model, (list, tuple)):
        return next((count for part in model if (count := _num_classes(part))), None)
    return None

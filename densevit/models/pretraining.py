"""Models that a checkpoint will fill need no pretrained weights of their own."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mmengine.config import ConfigDict


def without_pretraining(config: Any, keep: Collection[str] = ()) -> Any:
    """A copy of a model's config in which no part loads or downloads weights.

    Args:
        config: A dict with dicts and lists.
        keep: Of ``pretrained``, ``init_cfg`` and ``proposer_weights``, the keys that are left alone.
    """
    if isinstance(config, list | tuple):
        return type(config)(without_pretraining(item, keep) for item in config)
    if not isinstance(config, dict):
        return config
    copy = ConfigDict()
    for key, value in config.items():
        if key in keep:
            pass
        elif key == 'pretrained':
            value = False if isinstance(value, bool) else None
        elif key == 'proposer_weights' or (
                key == 'init_cfg' and isinstance(value, dict) and value.get('type') == 'Pretrained'):
            value = None
        copy[key] = without_pretraining(value, keep)
    return copy

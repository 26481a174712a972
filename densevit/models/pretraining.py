"""Models that a checkpoint will fill need no pretrained weights of their own."""
from __future__ import annotations

from typing import Any

from mmengine.config import ConfigDict


def without_pretraining(config: Any) -> Any:
    """A copy of a model's config in which no part loads or downloads weights when it is built or initialised."""
    if isinstance(config, list | tuple):
        return type(config)(without_pretraining(item) for item in config)
    if not isinstance(config, dict):
        return config
    copy = ConfigDict()
    for key, value in config.items():
        if key == 'pretrained':
            value = False if isinstance(value, bool) else None
        elif key == 'init_cfg' and isinstance(value, dict) and value.get('type') == 'Pretrained':
            value = None
        elif key == 'proposer_weights':
            copy.fill_proposer = False
        copy[key] = without_pretraining(value)
    return copy

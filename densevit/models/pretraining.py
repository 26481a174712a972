"""Models that a checkpoint will fill need no pretrained weights of their own."""
from __future__ import annotations

from typing import Any

from mmengine.config import ConfigDict

_READS_WEIGHTS = ('Pretrained', 'PretrainedInit', 'Pretrained_Part')  # the last one is of mmsegmentation's plain ViT


def without_pretraining(config: Any) -> Any:
    """A copy of a model's config in which no part loads or downloads weights when it is built or initialised.

    A part with a checkpoint of its own, ``<part>_weights`` beside ``<part>``, keeps it for the case that the checkpoint
    which follows lacks the part, and gets ``fill_<part>=False``.
    """
    if isinstance(config, list | tuple):
        return type(config)(without_pretraining(item) for item in config)
    if not isinstance(config, dict):
        return config
    copy = ConfigDict()
    for key, value in config.items():
        if key == 'pretrained':
            value = False if isinstance(value, bool) else None
        elif key == 'checkpoint_path':  # of timm
            value = ''
        elif key in ('init_cfg', 'override'):
            value = _without_files(value)
        elif isinstance(value, str) and key.endswith('_weights') and isinstance(
                config.get(part := key.removesuffix('_weights')), dict):
            copy[f'fill_{part}'] = False
        copy[key] = without_pretraining(value)
    return copy


def _without_files(init_cfg: Any) -> Any:
    """mmengine's initialisation, one or several, without what reads a checkpoint."""
    if isinstance(init_cfg, list | tuple):
        return [item for item in map(_without_files, init_cfg) if item is not None]
    kind = init_cfg.get('type') if isinstance(init_cfg, dict) else None
    name = kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')
    return None if name in _READS_WEIGHTS else init_cfg

"""The settings of prediction, out of a model's ``test_cfg``."""
from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from ..row_maps import WindowLayout

# About what a CPU holds near its cores: larger bands take up to twice as long, smaller ones keep its threads waiting
# for each other. A GPU is slowed by many small ones.
_BAND_BYTES = dict(cpu=2**25)
_OTHER_BAND_BYTES = 2**28


@dataclass(frozen=True)
class PredictionOptions:
    """How images are predicted.

    Attributes:
        mode: ``'whole'`` images, or ``'slide'``: windows are averaged.
        crop_size, stride: Of windows, pairs or numbers, see :class:`WindowLayout`.
        window_batch: Windows that the network sees at once; without it as many as the batch has images.
        max_score_bytes: About what scores take in memory while they are read, a few rows at a time; without it 32 MiB
            on a CPU and 256 MiB on other devices. What the network itself takes comes on top.
        keep_scores: Whether predictions hold the class scores of all pixels, ``seg_logits``: classes times pixels.
        encode_masks: Whether instances are run-length encoded as pycocotools does, instead of bool tensors.
        semantic: Whether panoptic predictions hold class labels as well, ``pred_sem_seg``.
    """
    mode: str = 'whole'
    crop_size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    window_batch: int | None = None
    max_score_bytes: int | None = None
    keep_scores: bool = False
    encode_masks: bool = False
    semantic: bool = False

    def __post_init__(self) -> None:
        """See that options go together.

        Raises:
            ValueError: The mode is unknown, windows lack a size or leave gaps, or a number is not positive.
        """
        if self.mode not in ('whole', 'slide'):
            raise ValueError(f"test_cfg.mode='{self.mode}': choose 'whole' or 'slide'")
        if self.mode == 'slide' and self.crop_size is None:
            raise ValueError("test_cfg.mode='slide' needs crop_size=(height, width) of the windows")
        for name in ('crop_size', 'stride'):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if self.mode == 'slide' and self.stride and any(map(operator.gt, self.stride, self.crop_size)):
            raise ValueError(f'test_cfg.stride={self.stride} is longer than crop_size={self.crop_size}, so that some '
                             'pixels would be in no window: choose a shorter one')
        for name in ('window_batch', 'max_score_bytes'):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value > 0):
                raise ValueError(f'test_cfg.{name}={value!r}: give a whole number above 0, or leave it out')

    def windows(self, images: int) -> WindowLayout | None:
        """Where windows lie, for a batch of so many images; None for whole images."""
        if self.mode == 'whole':
            return None
        return WindowLayout(self.crop_size, self.stride, self.window_batch or images)

    def band_bytes(self, device: torch.device) -> int:
        return self.max_score_bytes or _BAND_BYTES.get(device.type, _OTHER_BAND_BYTES)


def _pair(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f'test_cfg.{name}={value!r}: give (height, width), whole numbers above 0')
    return pair


OPTION_NAMES = tuple(field.name for field in fields(PredictionOptions))


def split_options(
    test_cfg: Mapping[str, Any] | None,
    reader: Callable | None,
) -> tuple[PredictionOptions, dict[str, Any]]:
    """``test_cfg`` as options that all tasks have and those of the reader of one task.

    Args:
        reader: Its keyword arguments with a default are options; None for a task without.

    Raises:
        ValueError: A key is neither, or its value makes no sense.
    """
    test_cfg = dict(test_cfg or {})
    common = {name: test_cfg.pop(name) for name in OPTION_NAMES if name in test_cfg}
    known = reader_options(reader) if reader is not None else ()
    unknown = [name for name in test_cfg if name not in known]
    if unknown:
        raise ValueError(f'test_cfg has no {unknown[0]!r} here: choose of {", ".join((*OPTION_NAMES, *known))}')
    for name, value in test_cfg.items():
        if name.endswith('threshold') and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise ValueError(f'test_cfg.{name}={value!r}: give a number from 0 to 1')
        if name == 'top_k' and not (isinstance(value, int) and value > 0):
            raise ValueError(f'test_cfg.top_k={value!r}: give a whole number above 0')
    return PredictionOptions(**common), test_cfg


def reader_options(reader: Callable) -> tuple[str, ...]:
    """Names of the options of a reader of mask proposals."""
    parameters = inspect.signature(reader).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.default is not parameter.empty)

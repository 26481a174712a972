"""Options of prediction: ``test_cfg`` sets them for all calls of a model, and a call may set others for itself.

What a call says wins over ``test_cfg``, and ``test_cfg`` over the defaults. An options object is frozen and travels
with the call, so that two threads may predict with one model and different options.
"""
from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

import torch

from .row_maps import WindowLayout

# About what a CPU holds near its cores: larger bands take up to twice as long, smaller ones keep its threads waiting
# for each other. A GPU is slowed by many small ones.
_BAND_BYTES = dict(cpu=2**25)
_OTHER_BAND_BYTES = 2**28


@dataclass(frozen=True)
class PredictionOptions:
    """The options of one call of a model of any task.

    Attributes:
        postprocess: Keyword arguments of the model's ``postprocessor``, such as ``score_threshold`` and ``top_k``.
            Those that are left out have their defaults.
    """
    postprocess: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The options that do not depend on the postprocessor."""
        return tuple(each.name for each in fields(cls) if each.name != 'postprocess')

    def override(self, values: Mapping[str, Any], postprocessor: Callable | None = None) -> PredictionOptions:
        """These options with other values for some of them.

        Args:
            values: The new values by the names of the options.
            postprocessor: A class or function whose keyword arguments with a default are options as well.

        Raises:
            ValueError: A name is unknown, or a value makes no sense; the message begins with the name of the option.
        """
        own = {name: value for name, value in values.items() if name in self.names()}
        others = {name: value for name, value in values.items() if name not in own}
        known = default_options(postprocessor)
        for name, value in others.items():
            if name not in known:
                raise ValueError(f'{name} is no option here: choose of {", ".join((*self.names(), *known))}')
            if name.endswith('threshold') and not (isinstance(value, Real) and 0 <= value <= 1):
                raise ValueError(f'{name}={value!r}: give a number from 0 to 1')
            if name == 'top_k' and not _is_count(value):
                raise ValueError(f'{name}={value!r}: give a whole number above 0')
        return replace(self, **own, postprocess={**self.postprocess, **others})

    def to_dict(self, postprocessor: Callable | None = None) -> dict[str, Any]:
        """Every option with the value that is in force, defaults included."""
        own = {name: getattr(self, name) for name in self.names()}
        return {**own, **default_options(postprocessor), **self.postprocess}


@dataclass(frozen=True)
class MapOptions(PredictionOptions):
    """The options of models whose results are maps over the image.

    Attributes:
        mode: ``'whole'`` images, or ``'slide'``: windows are predicted one by one and averaged where they overlap.
        crop_size: Height and width of the windows, or one number for both.
        stride: Vertical and horizontal distance of the windows, or one number for both. Without one, the fewest windows
            that cover the image are spread evenly, see :func:`densevit.layers.window_origins`.
        window_batch: How many windows the network sees at once; without it, as many as the batch has images.
        max_score_bytes: About what the rows of maps that are read at a time take in memory; without it, 32 MiB on a CPU
            and 256 MiB on other devices. What the network itself takes comes on top.
    """
    mode: str = 'whole'
    crop_size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    window_batch: int | None = None
    max_score_bytes: int | None = None

    def __post_init__(self) -> None:
        """See that the options go together.

        Raises:
            ValueError: The mode is unknown, windows lack a size or leave gaps, or a number is not positive.
        """
        if self.mode not in ('whole', 'slide'):
            raise ValueError(f"mode='{self.mode}': choose 'whole' or 'slide'")
        if self.mode == 'slide' and self.crop_size is None:
            raise ValueError("mode='slide' needs crop_size=(height, width) of the windows")
        for name in ('crop_size', 'stride'):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if self.mode == 'slide' and self.stride and any(map(operator.gt, self.stride, self.crop_size)):
            raise ValueError(f'stride={self.stride} is longer than crop_size={self.crop_size}, so that some pixels '
                             'would be in no window: choose a shorter one')
        for name in ('window_batch', 'max_score_bytes'):
            value = getattr(self, name)
            if value is not None and not _is_count(value):
                raise ValueError(f'{name}={value!r}: give a whole number above 0, or leave it out')

    def windows(self, images: int) -> WindowLayout | None:
        """Where windows lie for a batch of so many images; None for whole images."""
        if self.mode == 'whole':
            return None
        return WindowLayout(self.crop_size, self.stride, self.window_batch or images)

    def band_bytes(self, device: torch.device) -> int:
        """How many bytes the rows that are read at a time may take on a device."""
        return self.max_score_bytes or _BAND_BYTES.get(device.type, _OTHER_BAND_BYTES)


def default_options(postprocessor: Callable | None) -> dict[str, Any]:
    """The keyword arguments of a postprocessor that have a default, with it; none without a postprocessor."""
    parameters = inspect.signature(postprocessor).parameters.values() if postprocessor is not None else ()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _pair(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(map(_is_count, pair)):
        raise ValueError(f'{name}={value!r}: give (height, width), whole numbers above 0')
    return pair

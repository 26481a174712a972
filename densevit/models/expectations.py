"""What necks and heads of mmdetection and mmsegmentation tell about the feature maps that they read.

A mismatch is a pair: what a part expects, and the setting below the part that makes it fit.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn

# Necks whose outputs have the strides of their inputs, doubled for each level that they add.
_KEEP_STRIDES = ('FPN', 'ChannelMapper', 'YOLOXPAFPN', 'CSPNeXtPAFPN', 'BFP', 'DyHead')
# Necks that read the maps in another order, or others than the backbone gives.
_READ_OTHERWISE = ('YOLOV3Neck', 'CLRNetFPN', 'NASFCOS_FPN', 'RFP', 'SSDNeck')

Mismatch = tuple[str, str]


class Maps(NamedTuple):
    """Feature maps, finest first: their channels and their strides in pixels."""
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __str__(self) -> str:
        maps = 'map' if len(self.channels) == 1 else 'maps'
        return f'{len(self.channels)} {maps} of {self.channels} channels at strides {self.strides}'


def channel_mismatches(part: nn.Module, given: Maps) -> Iterator[Mismatch]:
    """Whether a part's first layers have the channels of the maps that it is given."""
    channels = given.channels
    if hasattr(part, 'in_index') and hasattr(part, 'input_transform'):
        yield from _decode_head_mismatches(part, channels)
        return
    read_one = [(f'{key}.out_channels', extractor.out_channels) for key, extractor in _roi_extractors(part)]
    expected = _in_channels(part)
    if isinstance(expected, int):
        read_one.append(('in_channels', expected))
    elif expected is not None and expected != channels and not _is_one_of(part, _READ_OTHERWISE):
        yield f'in_channels {list(expected)}', f'in_channels={list(channels)}'
    for key, value in read_one:  # what reads one map, or all maps in turn
        if value not in channels:
            yield f'{key} {value}', f'{key}={channels[-1]}'


def stride_mismatches(head: nn.Module, given: Maps) -> Iterator[Mismatch]:
    """Whether a head that places boxes by strides has those of the maps that it reads."""
    generator = getattr(head, 'prior_generator', None)
    strides = _flat(getattr(generator, 'strides', None))
    if strides is not None and strides != given.strides:
        key = 'anchor_generator.strides' if hasattr(generator, 'base_anchors') else 'strides'
        yield f'strides {list(strides)}', f'{key}={list(given.strides)}'
    for key, extractor in _roi_extractors(head):
        strides, right = list(extractor.featmap_strides), list(given.strides[:len(extractor.featmap_strides)])
        if strides != right:
            yield f'regions of strides {strides}', f'{key}.featmap_strides={right}'


def maps_of_neck(neck: nn.Module | None, given: Maps) -> Maps | None:
    """The maps that come out of a neck, their strides alone; None for a neck that does not tell."""
    if neck is None:
        return given
    if isinstance(neck, nn.Sequential):
        maps: Maps | None = given
        for part in neck:
            maps = maps and maps_of_neck(part, maps)
        return maps
    if not _is_one_of(neck, _KEEP_STRIDES):
        return None
    strides = list(given.strides[getattr(neck, 'start_level', 0):getattr(neck, 'backbone_end_level', None)])
    num_outs = getattr(neck, 'num_outs', len(strides) + len(getattr(neck, 'extra_convs', None) or ()))
    while strides and len(strides) < num_outs:
        strides.append(2 * strides[-1])
    return Maps((), tuple(strides))


def _decode_head_mismatches(head: nn.Module, channels: Sequence[int]) -> Iterator[Mismatch]:
    """mmsegmentation's heads choose maps by index, and keep the sum of the channels if they join the maps."""
    several = isinstance(head.in_index, Sequence)
    indices = list(head.in_index) if several else [head.in_index]
    if any(not -len(channels) <= index < len(channels) for index in indices):
        remedy = (f'in_index={list(range(len(channels)))} and in_channels={list(channels)}' if several else
                  f'in_index=-1 and in_channels={channels[-1]}')
        yield f'maps {indices}', remedy
        return
    read = [channels[index] for index in indices]
    joined = head.input_transform == 'resize_concat'
    expected = list(_flat(head.in_channels))
    if expected != ([sum(read)] if joined else read):
        asked = (f'{sum(expected)} channels of maps {indices} together' if joined else
                 f'in_channels {expected if several else expected[0]} of maps {indices}')
        yield asked, f'in_channels={read if several else read[0]}'


def _in_channels(part: nn.Module) -> int | tuple[int, ...] | None:
    """From the attribute, or from the layers of the parts that do not keep it."""
    if _is_one_of(part, ('ChannelMapper', )):
        return tuple(layer.conv.in_channels for layer in part.convs)
    decoder = getattr(part, 'pixel_decoder', None)
    if hasattr(decoder, 'input_convs') and hasattr(decoder, 'lateral_convs'):  # of Mask2Former, coarsest first
        return tuple(layer.conv.in_channels for layer in (*decoder.input_convs, *decoder.lateral_convs))[::-1]
    channels = getattr(part if decoder is None else decoder, 'in_channels', None)
    return channels if isinstance(channels, int) else _flat(channels)


def _roi_extractors(head: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for key in ('bbox_roi_extractor', 'mask_roi_extractor'):
        extractors = getattr(head, key, None)
        for extractor in extractors if isinstance(extractors, nn.ModuleList) else (extractors, ):
            if hasattr(extractor, 'featmap_strides'):
                yield key, extractor


def _flat(values: Any) -> tuple[int, ...] | None:
    """Whole numbers, of pairs (horizontal, vertical) the first; None for what is neither."""
    if isinstance(values, int):
        return (values, )
    if not isinstance(values, Sequence):
        return None
    flat = tuple(value[0] if isinstance(value, Sequence) and len(value) else value for value in values)
    return flat if all(isinstance(value, int) for value in flat) else None


def _is_one_of(part: nn.Module, names: Sequence[str]) -> bool:
    """By the name of the class or a base: these packages need not be installed."""
    return any(cls.__name__ in names for cls in type(part).__mro__)

"""How each timm family of plain ViTs embeds an image and runs a block.

A trunk is used as timm built it, under its own parameter names. Everything dense tasks add (any image size, windows,
extra tokens, attention masks, feature taps) happens between blocks, on a :class:`Tokens`, and around their attention.
"""
from __future__ import annotations

from timm.models.beit import Beit
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import nn

from .beit import BeitTrunk
from .building import PLAIN_VITS, build_trunk, stem_maps
from .policies import PadMode, PositionPolicy, WindowPolicy, WindowRequest, window_policy
from .positions import begin_with_sines, drop_prefix, prepare_window_positions, store_positions
from .sam import GridTrunk
from .sequence import SequenceTrunk
from .tokens import Tokens

Driver = SequenceTrunk | GridTrunk

__all__ = [
    'PLAIN_VITS', 'Driver', 'PadMode', 'PositionPolicy', 'Tokens', 'WindowPolicy', 'WindowRequest', 'begin_with_sines',
    'build_trunk', 'drive', 'drop_prefix', 'prepare_window_positions', 'stem_maps', 'store_positions', 'window_policy'
]


def drive(trunk: nn.Module, windows: WindowPolicy, positions: PositionPolicy) -> Driver:
    """The driver of a trunk that :func:`build_trunk` built.

    Raises:
        ValueError: The family has no such windows.
    """
    if isinstance(trunk, VisionTransformerSAM):
        return GridTrunk(trunk, windows, positions)
    return (BeitTrunk if isinstance(trunk, Beit) else SequenceTrunk)(trunk, windows, positions)

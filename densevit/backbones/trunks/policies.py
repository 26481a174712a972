"""What a user may choose about windows and positions."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import nn

from ...layers import AttentionWindows
from ...layers.attention_windows import window_sides
from ...layers.pos_embed import Kernel
from ..options import PosEmbed, pick
from .tokens import Tokens

PadMode = Literal['masked', 'official']


@dataclass(frozen=True)
class WindowRequest:
    """The windows that a user asks for; the arguments of :class:`densevit.PlainViT` of the same names.

    Raises:
        ValueError: The arguments do not go together.
    """
    window_size: int | None = None
    global_blocks: tuple[int, ...] = ()
    window_shift: bool = False
    pad_mode: PadMode | None = None
    num_windows: int | None = None
    prefix_per_window: bool = False

    def __post_init__(self) -> None:
        if self.pad_mode not in (None, 'masked', 'official'):
            raise ValueError(f"pad_mode is 'masked' or 'official', not '{self.pad_mode}'")
        if self.window_size is not None and (not isinstance(self.window_size, int) or self.window_size < 0):
            raise ValueError(f'window_size is a number of tokens, not {self.window_size!r}')
        if self.num_windows is not None and (not isinstance(self.num_windows, int) or self.num_windows < 1):
            raise ValueError(f'num_windows is a number of windows along each axis, not {self.num_windows!r}')
        if self.num_windows is not None and self.window_size:
            raise ValueError('windows have a window_size, or num_windows divide the image: leave one of them out')
        if self.prefix_per_window and self.num_windows is None:
            raise ValueError('prefix_per_window gives tokens to a number of windows: set num_windows')
        if self.window_shift and self.pad_mode == 'official':
            raise ValueError("window_shift: no official code shifts windows of a plain ViT; use pad_mode='masked'")

    def of_sam(self, depth: Callable[[], int]) -> dict[str, int | tuple[int, ...]]:
        """The arguments of timm's ``VisionTransformerSAM`` that it changes, for a trunk of ``depth()`` blocks.

        Raises:
            ValueError: It has no such blocks.
        """
        changed = {}
        if self.window_size is not None:
            changed['window_size'] = self.window_size
        if self.global_blocks:
            changed['global_attn_indexes'] = _global_blocks(self.global_blocks, depth())
        return changed


@dataclass(frozen=True)
class WindowPolicy:
    """Which blocks attend within windows, and how.

    Attributes:
        size: Side of a window in tokens; None without windows, or where ``num_windows`` says it.
        windowed: Indices of the windowed blocks, ascending.
        shift: Whether every second windowed block has its windows shifted.
        pad_mode: ``'masked'`` or ``'official'``.
        num_windows: Windows along each axis, whatever the image; None for windows of ``size``.
        num_own: Prefix tokens that belong to single windows.
    """
    size: int | None = None
    windowed: tuple[int, ...] = ()
    shift: bool = False
    pad_mode: PadMode = 'masked'
    num_windows: int | None = None
    num_own: int = 0

    def windows(self, index: int, tokens: Tokens) -> AttentionWindows | None:
        """Windows of a block; None for a global one."""
        if index not in self.windowed:
            return None
        shifted = self.shift and self.windowed.index(index) % 2 == 1
        return AttentionWindows(tokens.grid, self.size, tokens.num_prefix, shifted, self.pad_mode == 'masked',
                                self.num_windows, self.num_own)

    def sides(self, grid: tuple[int, int]) -> tuple[int, int] | None:
        """Tell height and width in tokens of the windows of an image; None without windows."""
        if self.size is None and self.num_windows is None:
            return None
        return window_sides(grid, self.size, self.num_windows)


@dataclass(frozen=True)
class PositionPolicy:
    """How learned positions are brought to the grid of an image.

    Raises:
        ValueError: There is no such kernel.

    Attributes:
        mode: ``'interpolate'``, ``'tile'`` or ``'absolute_window'``.
        antialias, interpolate_offset, kernel: Options of :func:`densevit.layers.resize_pos_embed`.
    """
    mode: PosEmbed = 'interpolate'
    antialias: bool = True
    interpolate_offset: float = 0.
    kernel: Kernel = 'bicubic'

    def __post_init__(self) -> None:
        if self.kernel not in ('bicubic', 'bilinear'):
            raise ValueError(f"pos_embed_kernel is 'bicubic' or 'bilinear', not '{self.kernel}'")

    @property
    def resize_options(self) -> dict[str, bool | float | str]:
        return dict(antialias=self.antialias, interpolate_offset=self.interpolate_offset, kernel=self.kernel)


def window_policy(trunk: nn.Module, request: WindowRequest) -> WindowPolicy:
    """Windows of a trunk that was built.

    Raises:
        ValueError: It has no such blocks, or options ask for windows that there are not.
    """
    global_blocks = _global_blocks(request.global_blocks, len(trunk.blocks))
    num_own = 0
    if request.prefix_per_window:
        if not isinstance(trunk, VisionTransformer) or getattr(trunk, 'rope', None) is not None:
            raise ValueError('prefix_per_window: positions inside of attention, rotary or relative, count the prefix '
                             'tokens of the trunk alone; leave it out or choose a VisionTransformer, such as DINOv2')
        num_own = request.num_windows**2 * trunk.num_prefix_tokens
    if isinstance(trunk, VisionTransformerSAM):
        if request.num_windows is not None:
            raise ValueError('num_windows: a SAM trunk has windows of one size; set window_size')
        sizes = {index: block.window_size for index, block in enumerate(trunk.blocks) if block.window_size}
    else:
        sizes = {index: request.window_size for index in range(len(trunk.blocks))
                 if (request.window_size or request.num_windows) and index not in global_blocks}
    if not sizes:
        for option, value in (('global_blocks', global_blocks), ('window_shift', request.window_shift),
                              ("pad_mode='official'", request.pad_mode == 'official')):
            if value and not (request.window_size or request.num_windows):
                raise ValueError(f'{option} belongs to windowed attention; set window_size or leave it out')
        return WindowPolicy(request.window_size or None, num_windows=request.num_windows, num_own=num_own)
    is_official = isinstance(trunk, VisionTransformerSAM) and not request.window_shift
    pad_mode = request.pad_mode or ('official' if is_official else 'masked')
    return WindowPolicy(next(iter(sizes.values())), tuple(sizes), request.window_shift, pad_mode, request.num_windows,
                        num_own)


def _global_blocks(indices: tuple[int, ...], depth: int) -> tuple[int, ...]:
    return pick(indices, depth, f'blocks 0 to {depth - 1}', option='global_blocks')

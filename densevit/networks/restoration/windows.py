"""Windows over maps of restoration networks: how they are cut, moved and put back, and attention within them.

Unlike in Swin's encoders (:class:`densevit.layers.AttentionWindows`), a map of one window is moved as well, and images
are mirrored to whole windows before the network, so that nothing here is padded.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What is taken from logits of tokens that do not see each other: no weight is left of it in any precision, and twice of
# it is a number of 16 bits.
_FAR = 1e4


def to_windows(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """Cut a map (B, H, W, C) into (B, windows, N, C), N tokens each, row by row; H and W are whole windows."""
    height, width = sides
    x = x.unflatten(2, (-1, width)).unflatten(1, (-1, height))  # (B, rows, height, columns, width, C)
    return x.transpose(2, 3).flatten(1, 2).flatten(2, 3)


def from_windows(windows: Tensor, sides: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Put (B, windows, N, C) back into a map (B, H, W, C) of ``size``."""
    height, width = sides
    x = windows.unflatten(2, sides).unflatten(1, (size[0] // height, size[1] // width))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def window_parts(size: tuple[int, int], sides: int | tuple[int, int], device: torch.device,
                 shift: tuple[int, int] | None = None) -> Tensor:
    """Which tokens are neighbours in windows of a map that was moved (Swin, arXiv:2103.14030, section 3.2).

    Args:
        size: Height and width of the map.
        sides: Those of windows, or one number for both.
        device: Where to.
        shift: By how many pixels it was moved up and to the left; half of the windows if None.

    Returns:
        (windows, N, 2) bool, whether the row and the column of a token came from the other end of the map. Two tokens
        of a window were neighbours before the move where both agree.
    """
    sides = (sides, sides) if isinstance(sides, int) else sides
    moved = [torch.arange(length, device=device) >= length - step
             for length, step in zip(size, shift or [side // 2 for side in sides], strict=True)]
    return to_windows(torch.stack(torch.meshgrid(*moved, indexing='ij'), -1).unsqueeze(0), sides)[0]


def relative_position_index(sides: tuple[int, int]) -> Tensor:
    """(N, N) entries of a table of (2 height - 1) * (2 width - 1) offsets, for each pair of tokens of a window."""
    places = torch.stack(torch.meshgrid(*map(torch.arange, sides), indexing='ij')).flatten(1)
    offsets = places[:, :, None] - places[:, None, :]  # (2, N, N)
    height, width = sides
    return (offsets[0] + height - 1) * (2 * width - 1) + offsets[1] + width - 1


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, parts: Tensor | None = None, scale: float | None = None
           ) -> Tensor:
    """Attention within windows.

    PyTorch's fused kernels take four axes, and one bias that windows share needs no memory for each of them.

    Args:
        q, k, v: (B, windows, heads, N, D); k and v may have another N, but not where there are parts.
        bias: Added to the logits, (heads, N, N).
        parts: :func:`window_parts`; tokens of different ones do not see each other.
        scale: Of the logits; ``D ** -0.5`` if None.

    Returns:
        (B, windows, N, heads * D).
    """
    count, dim = q.shape[0], q.shape[-1]
    scale = dim**-.5 if scale is None else scale
    if parts is not None:
        q, k = _apart(q, k, parts, scale)
        v = F.pad(v, (0, q.shape[-1] - dim))  # kernels for CPUs want one width
    x = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), bias.to(q.dtype).unsqueeze(0),
                                       scale=scale)
    return x[..., :dim].unflatten(0, (count, -1)).transpose(2, 3).flatten(3)


def _apart(q: Tensor, k: Tensor, parts: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Queries and keys with four more values, whose products are ``-_FAR / scale`` for each part that differs.

    For tokens of one part each product is a zero, so that logits keep all of their digits. A mask would be as large as
    the logits of an image, and there would be one for each window.
    """
    here = parts.to(q.dtype)
    other = 1 - here
    size = (_FAR / scale)**.5
    more = [torch.cat(each, -1).unsqueeze(1).expand(*x.shape[:-1], -1)
            for x, each in ((q, (-size * here, -size * other)), (k, (size * other, size * here)))]
    return torch.cat((q, more[0]), -1), torch.cat((k, more[1]), -1)


class WindowAttention(nn.Module):
    """Multi-head attention within windows with a learned bias for each offset (Swin, equation 4).

    Args:
        dim: Channels C.
        window_size: Side of a window in pixels.
        num_heads: The number of heads.
        qkv_bias: Whether queries, keys and values have biases.
    """

    def __init__(self, dim: int, window_size: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window_size - 1)**2, num_heads))
        self.register_buffer('index', relative_position_index((window_size, window_size)), persistent=False)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=.02)

    def forward(self, windows: Tensor, parts: Tensor | None = None) -> Tensor:
        """Attend within (B, windows, N, C), and within their parts where they were moved."""
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)  # (heads, N, N)
        return self.proj(attend(q, k, v, bias, parts))


def attend_in_windows(attn: WindowAttention, x: Tensor, window_size: int, shift: int, parts: Tensor) -> Tensor:
    """Attention of a map (B, H, W, C) within windows that ``shift`` moves, and then within their parts."""
    size, sides = x.shape[1:3], (window_size, window_size)
    if shift:
        x = x.roll((-shift, -shift), (1, 2))
    x = from_windows(attn(to_windows(x, sides), parts if shift else None), sides, size)
    return x.roll((shift, shift), (1, 2)) if shift else x

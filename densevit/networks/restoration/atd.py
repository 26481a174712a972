"""ATD (Zhang et al., Transcending the Limit of Local Window, arXiv:2401.08209): a dictionary of tokens beside windows.

Each group learns a dictionary. Pixels attend to it (section 3.2), are sorted by the entry that they resemble most and
attend to others of their category anywhere in the image (section 3.3), and attend within windows; the three are added.
The dictionary is refined from layer to layer by the pixels of the image (equation 6). The rest is SwinIR's frame.

Parameters have the names of the authors' checkpoints (github.com/LabShuHangGU/Adaptive-Token-Dictionary).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import mirror_to_multiple
from .frame import ResidualFrame, ResidualGroup, Upsampler, end_convs, heads_of_groups
from .windows import attend, from_windows, relative_position_index, to_windows, window_parts

_MAX_LOGIT_SCALE = math.log(100.)


class _WindowAttention(nn.Module):
    """Attention within windows of queries, keys and values that are given."""

    def __init__(self, dim: int, window_size: int, num_heads: int) -> None:
        super().__init__()
        self.window_size, self.num_heads = window_size, num_heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window_size - 1)**2, num_heads))
        self.register_buffer('index', relative_position_index((window_size, window_size)), persistent=False)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=.02)

    def forward(self, qkv: Tensor, shift: int, parts: Tensor) -> Tensor:
        """(B, H, W, 3C) with whole windows to (B, H, W, C)."""
        size, sides = qkv.shape[1:3], (self.window_size, self.window_size)
        if shift:
            qkv = qkv.roll((-shift, -shift), (1, 2))
        q, k, v = to_windows(qkv, sides).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)
        x = from_windows(self.proj(attend(q, k, v, bias, parts if shift else None)), sides, size)
        return x.roll((shift, shift), (1, 2)) if shift else x


class DictionaryAttention(nn.Module):
    """Pixels attend to the dictionary by cosine similarity in few dimensions (equations 3 to 5).

    Args:
        dim: Channels C.
        num_tokens: Entries M of the dictionary.
        reduced_dim: Dimensions of queries and keys.
        qkv_bias: Whether queries, keys and values have biases.
    """

    def __init__(self, dim: int, num_tokens: int, reduced_dim: int, qkv_bias: bool) -> None:
        super().__init__()
        self.wq = nn.Linear(dim, reduced_dim, bias=qkv_bias)
        self.wk = nn.Linear(dim, reduced_dim, bias=qkv_bias)
        self.wv = nn.Linear(dim, dim, bias=qkv_bias)
        self.scale = nn.Parameter(torch.full((num_tokens, ), .5))

    def forward(self, x: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, C) pixels and (B, M, C) entries to what is read, (B, N, C), and how similar they are, (B, N, M)."""
        q, k = F.normalize(self.wq(x), dim=-1), F.normalize(self.wk(dictionary), dim=-1)
        temperature = 1 + self.scale.clamp(0, 1) * math.log(len(self.scale))
        similarity = (q @ k.transpose(1, 2) * temperature).softmax(-1)
        return similarity @ self.wv(dictionary), similarity


class CategoryAttention(nn.Module):
    """Pixels attend to others of their category (section 3.3).

    They are sorted by category and cut into groups of one size; the last group is filled with pixels before it,
    mirrored.

    Args:
        dim: Channels C.
        num_heads: The number of heads.
        category_size: Pixels of a group.
        bias: Whether the last layer has a bias.
    """

    def __init__(self, dim: int, num_heads: int, category_size: int, bias: bool) -> None:
        super().__init__()
        self.num_heads, self.category_size = num_heads, category_size
        self.proj = nn.Linear(dim, dim, bias=bias)
        self.logit_scale = nn.Parameter(torch.full((1, 1), math.log(10.)))

    def forward(self, qkv: Tensor, similarity: Tensor) -> Tensor:
        """(B, N, 3C) and the similarity to entries (B, N, M) to (B, N, C)."""
        count = qkv.shape[1]
        size = min(count, self.category_size)
        order = similarity.argmax(-1).argsort(dim=-1, stable=True)  # (B, N)
        sorted_qkv = qkv.gather(1, order.unsqueeze(-1).expand_as(qkv))
        lacking = -count % size
        sorted_qkv = torch.cat((sorted_qkv, sorted_qkv[:, count - lacking:].flip(1)), 1)
        q, k, v = sorted_qkv.unflatten(1, (-1, size)).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        q = q * self.logit_scale.clamp(max=_MAX_LOGIT_SCALE).exp()
        # PyTorch's fused kernels take four axes: images and their groups are one.
        x = F.scaled_dot_product_attention(*(each.flatten(0, 1) for each in (q, k, v)), scale=1.)
        x = x.transpose(1, 2).flatten(2).unflatten(0, (qkv.shape[0], -1)).flatten(1, 2)[:, :count]
        places = order.argsort(dim=-1).unsqueeze(-1)
        return self.proj(x.gather(1, places.expand_as(x)))


class _DepthwiseConv(nn.Module):

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        return self.depthwise_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ConvFFN(nn.Module):
    """An MLP with a depthwise convolution beside its middle."""

    def __init__(self, dim: int, hidden_dim: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.dwconv = _DepthwiseConv(hidden_dim, kernel_size)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C)."""
        x = F.gelu(self.fc1(x))
        return self.fc2(x + self.dwconv(x))


class ATDLayer(nn.Module):
    """The three kinds of attention side by side, a ConvFFN, and the dictionary refined (figure 3)."""

    def __init__(self, dim: int, num_heads: int, window_size: int, shifted: bool, category_size: int, num_tokens: int,
                 reduced_dim: int, kernel_size: int, mlp_ratio: float, qkv_bias: bool, is_last: bool) -> None:
        super().__init__()
        self.shift, self.is_last = window_size // 2 if shifted else 0, is_last
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        if not is_last:
            self.norm3 = nn.InstanceNorm1d(num_tokens, affine=True)
            self.sigma = nn.Parameter(torch.zeros(num_tokens, 1))
        self.wqkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.attn_win = _WindowAttention(dim, window_size, num_heads)
        self.attn_atd = DictionaryAttention(dim, num_tokens, reduced_dim, qkv_bias)
        self.attn_aca = CategoryAttention(dim, num_heads, category_size, qkv_bias)
        self.convffn = ConvFFN(dim, int(dim * mlp_ratio), kernel_size)

    def forward(self, x: Tensor, dictionary: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) and (B, M, C) to the same."""
        size, normed = x.shape[1:3], self.norm1(x)
        qkv = self.wqkv(normed)
        read, similarity = self.attn_atd(normed.flatten(1, 2), dictionary)
        alike = self.attn_aca(qkv.flatten(1, 2), similarity)
        x = x + self.attn_win(qkv, self.shift, parts) + read.unflatten(1, size) + alike.unflatten(1, size)
        x = x + self.convffn(self.norm2(x))
        if not self.is_last:
            shares = self.norm3(similarity.transpose(1, 2)).softmax(-1)  # (B, M, N)
            kept = self.sigma.sigmoid()
            dictionary = kept * dictionary + (1 - kept) * (shares @ x.flatten(1, 2))
        return x, dictionary


class ATDLayers(nn.Module):
    """The layers of a group and the dictionary that they begin with."""

    def __init__(self, layers: Sequence[ATDLayer], num_tokens: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.td = nn.Parameter(torch.randn(num_tokens, dim))

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        dictionary = self.td.expand(x.shape[0], -1, -1)
        for layer in self.layers:
            x, dictionary = layer(x, dictionary, parts)
        return x


class ATD(ResidualFrame):
    """ATD; the light form has ``embed_dim=48, depths=(6, ) * 4, num_heads=4, category_size=128, num_tokens=64,
    reduced_dim=8, kernel_size=7, mlp_ratio=1, upsampler='pixelshuffledirect'``.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features.
        depths: Layers of each group.
        num_heads: Heads of attention, one number or one for each group.
        window_size: Side of a window in pixels.
        category_size: Pixels that attend to each other in a category. Checkpoints do not tell it: 256, 128 in the light
            form.
        num_tokens: Entries of a dictionary.
        reduced_dim: Dimensions in which pixels and entries are compared.
        kernel_size: Of the convolution in a ConvFFN.
        mlp_ratio: Width of ConvFFNs as a multiple of C.
        qkv_bias: Whether queries, keys and values have biases.
        upsampler: The reconstruction, see :class:`ResidualFrame`.
        group_convs: 1 or 3 convolutions at the ends of groups.
        num_features: Channels of a reconstruction with several convolutions.
        img_range: Images are multiplied by it.
        subtract_mean: Whether the mean colour of DIV2K is subtracted from images; False in checkpoints with a
            ``no_norm``.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        scale: int = 4,
        in_channels: int = 3,
        embed_dim: int = 210,
        depths: Sequence[int] = (6, ) * 6,
        num_heads: int | Sequence[int] = 6,
        window_size: int = 16,
        category_size: int = 256,
        num_tokens: int = 128,
        reduced_dim: int = 20,
        kernel_size: int = 5,
        mlp_ratio: float = 2.,
        qkv_bias: bool = True,
        upsampler: Upsampler | None = 'pixelshuffle',
        group_convs: Literal[1, 3] = 1,
        num_features: int = 64,
        img_range: float = 1.,
        subtract_mean: bool = True,
    ) -> None:
        groups = nn.ModuleList()
        for heads, depth in zip(heads_of_groups(num_heads, len(depths), embed_dim), depths, strict=True):
            layers = [ATDLayer(embed_dim, heads, window_size, bool(index % 2), category_size, num_tokens, reduced_dim,
                               kernel_size, mlp_ratio, qkv_bias, index == depth - 1) for index in range(depth)]
            groups.append(ResidualGroup(ATDLayers(layers, num_tokens, embed_dim), end_convs(embed_dim, group_convs)))
        super().__init__(groups, embed_dim, window_size, scale, in_channels, upsampler, group_convs, num_features,
                         img_range)
        self.window_size = window_size
        if not subtract_mean:
            self.mean.zero_()

    def padded(self, images: Tensor) -> Tensor:
        """Images mirrored with their edge to whole windows, as the authors' code does."""
        return mirror_to_multiple(images, self.multiple, repeat_edge=True)

    def context(self, features: Tensor) -> Sequence[Tensor]:
        return [window_parts(features.shape[-2:], self.window_size, features.device)]

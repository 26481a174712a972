"""timm's attention modules, within windows where the driver says so.

A block hands what it gets as ``attn_mask`` to its attention, so an :class:`~densevit.layers.AttentionWindows` in the
place of a mask reaches the attention of any block; norms, MLPs and stochastic depth stay on whole images. An attention
becomes windowed by a change of its class: parameters and their names stay.
"""
from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from timm.layers import Attention, AttentionRope
from timm.models.eva import EvaAttention
from torch import Tensor, nn

from ...layers import AttentionWindows


class _Windowed:
    """An attention whose ``attn_mask`` may be windows."""

    def forward(self, x: Tensor, *args: Any, attn_mask: Tensor | AttentionWindows | None = None,
                **kwargs: Any) -> Tensor:
        if not isinstance(attn_mask, AttentionWindows):
            return super().forward(x, *args, attn_mask=attn_mask, **kwargs)
        mask = attn_mask.mask(x.shape[0], x.device)
        return attn_mask.merge(super().forward(attn_mask.partition(x), *args, attn_mask=mask, **kwargs))


class WindowedAttention(_Windowed, Attention):
    """timm's plain attention; pads that are not masked have queries, keys and values of 0, as in ViT-Adapter."""

    def forward(self, x: Tensor, attn_mask: Tensor | AttentionWindows | None = None,
                is_causal: bool = False) -> Tensor:
        if isinstance(attn_mask, AttentionWindows) and not attn_mask.mask_pads:
            return self._with_zero_pads(x, attn_mask)
        return super().forward(x, attn_mask=attn_mask, is_causal=is_causal)

    def _with_zero_pads(self, x: Tensor, windows: AttentionWindows) -> Tensor:
        """A pad takes exp(0) of each softmax and gives nothing."""
        qkv = windows.partition(self.qkv(x)).unflatten(2, (3, self.num_heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.attn_drop.p if self.training else 0.)
        return self.proj_drop(self.proj(windows.merge(x.transpose(1, 2).flatten(2))))


class WindowedAttentionRope(_Windowed, AttentionRope):
    """timm's attention with rotary positions."""


class WindowedEvaAttention(_Windowed, EvaAttention):
    """timm's attention of EVA-02 and DINOv3."""


_WINDOWED: dict[type[nn.Module], type[nn.Module]] = {
    Attention: WindowedAttention,
    AttentionRope: WindowedAttentionRope,
    EvaAttention: WindowedEvaAttention,
}


def make_windowed(block: nn.Module, zero_pads: bool) -> None:
    """Let the attention of a block take windows.

    Raises:
        ValueError: It cannot, or not with pads as ``zero_pads`` asks for.
    """
    found = [module for module in block.modules() if type(module) in _WINDOWED]
    if not found:
        raise ValueError(f"timm's {type(block).__name__} has no attention that can be put into windows; leave out "
                         'window_size or choose another trunk')
    for attention in found:
        if zero_pads and not _is_plain(attention):
            raise ValueError("pad_mode='official' follows ViT-Adapter, whose attention has neither rotary positions "
                             "nor norms or gates inside; use pad_mode='masked' with this trunk")
        attention.__class__ = _WINDOWED[type(attention)]


def _is_plain(attention: nn.Module) -> bool:
    inside = (attention.q_norm, attention.k_norm, attention.norm)
    return (type(attention) is Attention and all(isinstance(norm, nn.Identity) for norm in inside)
            and getattr(attention, 'gate', None) is None)

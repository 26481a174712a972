"""A token sequence that can be read as a feature map."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """A token sequence and what is needed to read it as a feature map.

    Attributes:
        x: (B, num_prefix + h * w, D): prefix tokens, then patches in row-major order.
        grid: (h, w) in patches.
        num_prefix: Tokens ahead of the patches: queries, class and register tokens.
        rope: Rotary embedding of the rotated tokens, (..., N, 2 * head_dim), sines then cosines; None without.
        stem: Feature maps of a convolutional stem, finest first; empty for a patch embedding.
        window_rope: The rotary embedding within a window, of size * size tokens; None without.
    """
    x: Tensor
    grid: tuple[int, int]
    num_prefix: int = 0
    rope: Tensor | None = None
    stem: tuple[Tensor, ...] = ()
    window_rope: Tensor | None = None

    @property
    def patches(self) -> Tensor:
        """The patches without the tokens before them, (B, h * w, D)."""
        return self.x[:, self.num_prefix:]

    def with_patches(self, patches: Tensor) -> Tokens:
        """The same prefix with other patches (B, h * w, D)."""
        return replace(self, x=torch.cat((self.x[:, :self.num_prefix], patches), dim=1))

    def feature_map(self) -> Tensor:
        """The patches as (B, D, h, w)."""
        return self.patches.transpose(1, 2).unflatten(2, self.grid)

    def prepend(self, queries: Tensor) -> Tokens:
        """The sequence with queries at its front, (Q, D) for all images or (B, Q, D); they are never rotated."""
        x = torch.cat((queries.expand(self.x.shape[0], -1, -1), self.x), dim=1)
        count = queries.shape[-2]
        return replace(self, x=x, num_prefix=self.num_prefix + count, rope=_unrotated(count, self.rope),
                       window_rope=_unrotated(count, self.window_rope))


def _unrotated(num_tokens: int, rope: Tensor | None) -> Tensor | None:
    """A rotary embedding with angles of zero at its front.

    Attention skips as many leading tokens as the trunk has prefix tokens, so the rest of a longer prefix is rotated.
    """
    if rope is None:
        return None
    sines = rope.new_zeros(*rope.shape[:-2], num_tokens, rope.shape[-1] // 2)
    return torch.cat((torch.cat((sines, torch.ones_like(sines)), dim=-1), rope), dim=-2)

"""What every adapter is: a backbone around a plain ViT."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..backbones import PlainViT
from ..backbones.contract import Backbone

_OUT_INDICES = 'out_indices in vit would be ignored, for an adapter reads the blocks itself; leave it out'


class Adapter(Backbone):
    """Holds a plain ViT as ``vit``; its own parameters learn at the full rate and are not frozen with the ViT's.

    ``drop_path_rate`` and ``grad_checkpointing`` are the ViT's too, unless ``vit`` gives others. A ViT that is given
    built has to have the rate that is asked for; ``frozen_stages`` and ``grad_checkpointing`` are set on it.

    Args:
        vit: A :class:`densevit.PlainViT`, or its arguments.
        frozen_stages: -1 trains all, 0 freezes the ViT's embedding, k freezes k of its blocks as well.
        drop_path_rate: Stochastic depth of the ViT's last block.
        grad_checkpointing: Recompute the ViT's blocks in the backward pass.
        defaults: Further arguments of the ViT that hold unless ``vit`` gives others.

    Raises:
        TypeError: ``vit`` is neither.
        ValueError: ``vit`` gives the type of another class, or what contradicts the arguments here.
    """

    def __init__(
        self,
        vit: PlainViT | dict[str, Any],
        *,
        frozen_stages: int = -1,
        drop_path_rate: float = 0.,
        grad_checkpointing: bool = False,
        **defaults: Any,
    ) -> None:
        super().__init__()
        if not isinstance(vit, PlainViT):
            defaults |= dict(drop_path_rate=drop_path_rate, grad_checkpointing=grad_checkpointing)
            vit = PlainViT(**{**defaults, **_arguments(vit)})
        elif drop_path_rate and not math.isclose(drop_path_rate, vit.drop_path_rate, rel_tol=1e-4):
            raise ValueError(f'drop_path_rate={drop_path_rate}: the given vit was built with {vit.drop_path_rate:g}; '
                             'build it with the same, or give its arguments as a dict')
        elif vit.out_indices != (vit.depth - 1, ):
            raise ValueError(_OUT_INDICES)
        else:
            vit.grad_checkpointing = vit.grad_checkpointing or grad_checkpointing
        if frozen_stages != -1:
            if vit.frozen_stages not in (-1, frozen_stages):
                raise ValueError(f'frozen_stages is {frozen_stages} here and {vit.frozen_stages} in vit; give it once')
            vit.set_frozen_stages(frozen_stages)
        self.vit = vit
        self.depth = self.vit.depth

    @property
    def frozen_stages(self) -> int:
        """The number of the ViT's frozen stages."""
        return self.vit.frozen_stages

    def layer_index(self, name: str) -> int:
        part, _, inner = name.partition('.')
        return self.vit.layer_index(inner) if part == 'vit' else self.depth + 1

    def is_of_stem(self, name: str) -> bool:
        """Whether a parameter of this name belongs to the ViT's stem."""
        part, _, inner = name.partition('.')
        return part == 'vit' and self.vit.is_of_stem(inner)

    def stage_index(self, name: str) -> int | None:
        part, _, inner = name.partition('.')
        return self.vit.stage_index(inner) if part == 'vit' and inner else None


def _arguments(vit: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(vit, Mapping):
        raise TypeError('vit is a PlainViT or a dict of its arguments, such as '
                        f"dict(name='deit_small_patch16_224'), not {vit!r}")
    kind = vit.get('type', 'PlainViT')
    if kind not in ('PlainViT', 'densevit.PlainViT', PlainViT):
        raise ValueError(f'vit is a PlainViT, not a {kind}; give its arguments without a type')
    if 'out_indices' in vit:
        raise ValueError(_OUT_INDICES)
    return {key: value for key, value in vit.items() if key != 'type'}

"""What every adapter is: a backbone around a plain ViT."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backbones import PlainViT
from ..backbones.contract import Backbone


class Adapter(Backbone):
    """Holds a plain ViT as ``vit``; its own parameters learn at the full rate and are not frozen with the ViT's.

    Args:
        vit: A :class:`densevit.PlainViT`, or its arguments.
        defaults: Arguments of the ViT that hold unless ``vit`` gives others.

    Raises:
        TypeError: ``vit`` is neither.
        ValueError: ``vit`` gives the type of another class.
    """

    def __init__(self, vit: PlainViT | dict[str, Any], **defaults: Any) -> None:
        super().__init__()
        self.vit = vit if isinstance(vit, PlainViT) else PlainViT(**{**defaults, **_arguments(vit)})
        self.depth = self.vit.depth

    def layer_index(self, name: str) -> int:
        part, _, inner = name.partition('.')
        return self.vit.layer_index(inner) if part == 'vit' else self.depth + 1

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
    return {key: value for key, value in vit.items() if key != 'type'}

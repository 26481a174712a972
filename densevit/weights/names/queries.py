"""How checkpoints of networks with learned queries are recognised: names by code base, a head around any backbone."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone
from .detectron2_resnet import from_detectron2_resnet
from .hf_swin import from_hf_swin

_ATTENTION_PARTS = ('q_proj', 'k_proj', 'v_proj')


@dataclass(frozen=True)
class QueryNaming:
    """A code base's names.

    Attributes:
        label: What reports call it.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        backbone: What stands before the names of the backbone.
        head: What stands before the names of everything else; names that begin otherwise are not needed.
        rules: Names behind ``head`` to ours.
    """
    label: str
    anchors: tuple[str, ...]
    backbone: str
    head: str
    rules: Sequence[Rule]


def read_queries(state: State, namings: Sequence[QueryNaming]) -> HeadAndBackbone | None:
    """Recognise a checkpoint and give its head our names.

    Raises:
        WeightsError: It holds several such networks.
    """
    for naming in namings:
        prefix = common_prefix(state, naming.anchors)
        if prefix is None:
            continue
        inside, left = split_prefix(state, prefix)
        backbone, others = split_prefix(inside, naming.backbone)
        head, outside = split_prefix({name: inside[name] for name in others}, naming.head)
        renamed, unneeded = rename(head, naming.rules)
        backbone, of_backbone = from_hf_swin(from_detectron2_resnet(backbone))
        left += [*outside, *unneeded, *of_backbone]
        return HeadAndBackbone(naming.label, split_attention(renamed), backbone, left)
    return None


def split_attention(state: State) -> State:
    """PyTorch's one matrix of queries, keys and values as three."""
    result = {}
    for name, tensor in state.items():
        attention, found, kind = name.partition('in_proj_')
        if not found:
            result[name] = tensor
            continue
        thirds = zip(_ATTENTION_PARTS, tensor.chunk(3), strict=True)
        result.update({f'{attention}{part}.{kind}': third for part, third in thirds})
    return result

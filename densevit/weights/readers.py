"""Who reads a checkpoint for which network: names of any known code base to those of the model."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import nn

from ..backbones import PlainViT
from ..heads.segmentation import EoMT
from .eomt_names import TRUNK, EoMTWeights, add_base, read_eomt
from .reading import State
from .renaming import split_prefix
from .report import WeightsError
from .trunk_names import read_trunk

OWN = "the model's own"


@dataclass
class Translated:
    """A checkpoint under the model's names.

    Attributes:
        naming: What reports call the names it had.
        state: Tensors under the model's names.
        left: Names of the checkpoint that no part of the model needs.
        unfilled: Beginnings of names that the model keeps as they are: an adapter's, if the checkpoint is a plain ViT.
    """
    naming: str
    state: State
    left: list[str] = field(default_factory=list)
    unfilled: tuple[str, ...] = ()


# Gives None where the names are of no code base that it knows.
Reader = Callable[[State, nn.Module], Translated | None]


def translate(state: State, module: nn.Module, base: State | None) -> Translated:
    """Names of the model from whatever names the checkpoint has.

    Raises:
        WeightsError: The names are not known, or ``base`` is lacking or in vain.
    """
    if isinstance(module, PlainViT | EoMT) and (eomt := read_eomt(state)):
        return _from_eomt(eomt, module, base)
    if base is not None:
        raise WeightsError('this checkpoint is complete and refers to no base weights; leave out base=')
    reader = next((reader for cls, reader in READERS.items() if isinstance(module, cls)), None)
    if reader is None or _are_own(state, module):
        return Translated(OWN, state)
    if translated := reader(state, module):
        return translated
    raise WeightsError(f'its names are of no model known here ({", ".join(list(state)[:3])} ...); rename them to those '
                       f'of timm, or to the model\'s own, such as {next(iter(module.state_dict()))}')


def read_into_trunk(state: State, trunk: nn.Module, prefix: str) -> Translated | None:
    """A plain ViT's checkpoint for a timm trunk that has a prefix in the model."""
    found = read_trunk(state, trunk)
    if found is None:
        return None
    naming, tensors, left = found
    return Translated(naming, {prefix + name: tensor for name, tensor in tensors.items()}, left)


def _read_plain_vit(state: State, module: PlainViT) -> Translated | None:
    return read_into_trunk(state, module.trunk, 'trunk.')


def _read_eomt_backbone(state: State, module: EoMT) -> Translated | None:
    return read_into_trunk(state, module.backbone.trunk, TRUNK)


READERS: dict[type[nn.Module], Reader] = {
    PlainViT: _read_plain_vit,
    EoMT: _read_eomt_backbone,
}


def _are_own(state: State, module: nn.Module) -> bool:
    """Whether the checkpoint has every tensor of the model, whatever else it has."""
    return not isinstance(module, PlainViT | EoMT) and module.state_dict().keys() <= state.keys()


def _from_eomt(eomt: EoMTWeights, module: PlainViT | EoMT, base: State | None) -> Translated:
    if eomt.is_delta:
        trunk = (module if isinstance(module, PlainViT) else module.backbone).trunk
        eomt = replace(eomt, state=add_base(eomt.state, _read_base(base, trunk)))
    elif base is not None:
        raise WeightsError('this checkpoint is complete and refers to no base weights; leave out base=')
    if isinstance(module, EoMT):
        return Translated(eomt.label, eomt.state, eomt.left)
    trunk_state, heads = split_prefix(eomt.state, TRUNK)
    return Translated(eomt.label, {'trunk.' + name: tensor for name, tensor in trunk_state.items()}, eomt.left + heads)


def _read_base(base: State | None, trunk: nn.Module) -> State:
    if base is None:
        raise WeightsError('the backbone of this checkpoint holds differences to DINOv3, whose licence forbids to '
                           'include it; get the DINOv3 weights of this size (huggingface.co/facebook) and pass them as '
                           'base= (--base)')
    found = read_trunk(base, trunk)
    if found is None:
        raise WeightsError('the base weights have names of no backbone known here; give DINOv3 as released by Meta, '
                           'transformers or timm')
    return found[1]

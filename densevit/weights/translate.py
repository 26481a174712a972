"""Who reads a checkpoint for which network: names of any known code base to those of the model."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import nn

from ..adapters import SimpleFeaturePyramid
from ..adapters.interacting import InteractingAdapter
from ..backbones import Hiera, HieraDet, PlainViT, TimmPyramid
from ..networks.segmentation import (
    PEM,
    DPTNet,
    ECOMask2FormerNet,
    EoMT,
    KMaXDeepLab,
    LinearNet,
    Mask2FormerNet,
    MaskFormerNet,
    SegFormerNet,
    SegViT,
    SegViTShrunk,
    ViTP,
)
from .load_report import Shape, WeightsError
from .names.adapters import ADAPTER_PARTS, OF_ADAPTER, read_adapter
from .names.adapters import TRUNK as ADAPTER_TRUNK
from .names.eomt import TRUNK, EoMTWeights, add_base, read_eomt
from .names.hiera import read_hiera
from .names.kmax import read_kmax
from .names.mask2former import read_mask2former
from .names.maskformer import read_maskformer
from .names.pem import read_pem
from .names.pixels import read_hf_dpt, read_linear
from .names.pyramids import has_norms, read_pyramid
from .names.segformer import read_segformer
from .names.segvit import read_segvit, read_segvit_shrunk
from .names.trunks import read_trunk
from .names.vit_p import read_vit_p
from .names.vitdet import OF_PYRAMID, read_vitdet, unfilled_by_plain_vit
from .reading import State
from .renaming import common_prefix, only_prefix, split_prefix

OWN = "the model's own"


@dataclass
class Translated:
    """A checkpoint under the model's names.

    Attributes:
        naming: What reports call the names it had.
        state: Tensors under the model's names.
        left: Names of the checkpoint that no part of the model needs.
        unfilled: Beginnings of names that the model keeps as they are: an adapter's, if the checkpoint is a plain ViT;
            norms of maps, if it has none.
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
    own = module.state_dict()
    prefix = common_prefix(state, list(own)) if own else None
    whole = None if prefix is None else Translated(OWN, *split_prefix(state, prefix))
    reader = next((reader for cls, reader in READERS.items() if isinstance(module, cls)), None)
    if whole and (reader is None or _shapes(whole.state) == _shapes(own)):
        return whole
    if translated := (reader and reader(state, module)) or whole or _mostly_own(state, own):
        return translated
    if reader is None:
        return Translated(OWN, state)
    raise WeightsError(f'its names ({", ".join(list(state)[:3])} ...) fit no {type(module).__name__} known here; if it '
                       'is of another network, give it with its own config, or else rename them to those of timm or to '
                       f"the model's own, such as {next(iter(own))}")


def _mostly_own(state: State, own: State) -> Translated | None:
    """Of a model with other options (blocks, layers), so that what differs can be told; None for other names.

    Raises:
        WeightsError: It holds several of them.
    """
    places = Counter(name[:start] for name in state for start in (0, *(dot.end() for dot in re.finditer(r'\.', name)))
                     if name[start:] in own)
    prefix = only_prefix([prefix for prefix, count in places.items() if 2 * count > len(own)])
    return None if prefix is None else Translated(OWN, *split_prefix(state, prefix))


def _shapes(state: State) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


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


def _read_interacting_adapter(state: State, module: InteractingAdapter) -> Translated | None:
    if found := read_adapter(state, module):
        return Translated(*found)
    plain = _read_vit_alone(state, module)
    return plain and replace(plain, unfilled=ADAPTER_PARTS)


def _read_simple_pyramid(state: State, module: SimpleFeaturePyramid) -> Translated | None:
    if found := read_vitdet(state, module):
        return Translated(*found)
    plain = _read_vit_alone(state, module)
    return plain and replace(plain, unfilled=unfilled_by_plain_vit(module, plain.state))


def _read_vit_alone(state: State, module: InteractingAdapter | SimpleFeaturePyramid) -> Translated | None:
    """A plain ViT, which an adapter starts from; not the ViT of another adapter, whose parts would be lost unseen."""
    for names, whole in ((OF_ADAPTER, 'ViTAdapter or ViTCoMer'), (OF_PYRAMID, 'SimpleFeaturePyramid')):
        if part := next(filter(names.fullmatch, state), None):
            raise WeightsError(
                f'it is of a {whole} ({part}), of which this {type(module).__name__} has no use or not all; load it '
                'into such a model, or load only its ViT, into model.vit')
    return read_into_trunk(state, module.vit.trunk, ADAPTER_TRUNK)


def _read_timm_pyramid(state: State, module: TimmPyramid) -> Translated | None:
    found = read_pyramid(state, module)
    return found and Translated(*found, unfilled=() if has_norms(found[1]) else ('norms.', ))


def _read_hiera(state: State, module: Hiera | HieraDet) -> Translated | None:
    found = read_hiera(state, module)
    return found and Translated(*found, unfilled=() if has_norms(found[1]) else ('norms.', ))


def _read_vit_p(state: State, module: ViTP) -> Translated | None:
    found = read_vit_p(state, module)
    return found and Translated(*found, unfilled=('proposer.', ))


def read_around(label: str, head: State, backbone: State, left: list[str], module: nn.Module) -> Translated:
    """A network's tensors under our names together with those of its backbone under any names.

    Raises:
        WeightsError: The backbone's names are not known.
    """
    inner = translate(backbone, module.backbone, None)
    state = {**{f'backbone.{name}': tensor for name, tensor in inner.state.items()}, **head}
    unfilled = tuple(f'backbone.{name}' for name in inner.unfilled)
    return Translated(f'{label} around {inner.naming}', state, [*left, *inner.left], unfilled)


def _around_backbone(read: Callable[[State], tuple | None], label: str | None = None) -> Reader:
    """Of a network whose checkpoints hold a backbone under names of its own.

    Args:
        read: Gives the label, unless it is given here, the head's tensors under our names, the backbone's, and the
            names not needed; None for another model.
    """
    def reader(state: State, module: nn.Module) -> Translated | None:
        found = read(state)
        if found is None:
            return None
        return read_around(*found, module) if label is None else read_around(label, *found, module)

    return reader


def _read_eco(state: State, module: ECOMask2FormerNet) -> Translated | None:
    """Of a Mask2Former, which it is but for the gate, too."""
    gate = ('exit_gate.', )
    prefix = common_prefix(state, [name for name in module.state_dict() if not name.startswith(gate)])
    if prefix is not None:
        return Translated(OWN, *split_prefix(state, prefix), unfilled=gate)
    found = _around_backbone(read_mask2former)(state, module)
    return found and replace(found, unfilled=(*found.unfilled, *gate))


def _read_linear(state: State, module: LinearNet) -> Translated | None:
    found = read_linear(state)
    if found is None:
        return None
    head, backbone, left = found
    if backbone:
        return read_around('OpenMMLab linear head', head, backbone, left, module)
    return Translated('OpenMMLab linear head', head, left, unfilled=('backbone.', ))


def _read_segformer(state: State, module: SegFormerNet) -> Translated | None:
    found = read_segformer(state)
    if found is None:
        return None
    if ('map_norms.0.weight' in found[1]) != bool(module.map_norms):
        raise WeightsError(f'its head {"has no" if module.map_norms else "has"} norms of the projected maps: build the '
                           f'model with norm_maps={not module.map_norms} (model.head.norm_maps)')
    return read_around(*found, module)


READERS: dict[type[nn.Module], Reader] = {
    PlainViT: _read_plain_vit,
    EoMT: _read_eomt_backbone,
    InteractingAdapter: _read_interacting_adapter,
    SimpleFeaturePyramid: _read_simple_pyramid,
    TimmPyramid: _read_timm_pyramid,
    Hiera: _read_hiera,
    HieraDet: _read_hiera,
    DPTNet: _around_backbone(read_hf_dpt, 'transformers DPT'),
    KMaXDeepLab: _around_backbone(read_kmax),
    LinearNet: _read_linear,
    ECOMask2FormerNet: _read_eco,  # before the class that it derives from
    Mask2FormerNet: _around_backbone(read_mask2former),
    MaskFormerNet: _around_backbone(read_maskformer),
    PEM: _around_backbone(read_pem),
    SegFormerNet: _read_segformer,
    SegViT: _around_backbone(read_segvit, "the authors' SegViT"),
    SegViTShrunk: _around_backbone(read_segvit_shrunk, "the authors' Shrunk SegViT"),
    ViTP: _read_vit_p,
}


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

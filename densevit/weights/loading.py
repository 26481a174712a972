"""Official and own checkpoints into models."""
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..backbones import PlainViT
from ..heads.segmentation import EoMT
from ..models import MaskSegmentor
from .diagnosis import describe, explain
from .eomt_names import TRUNK, EoMTWeights, add_base, read_eomt
from .fitting import Fit, PatchResize, TrunkSizes, fit
from .reading import State, read_state_dict
from .renaming import split_prefix
from .report import LoadReport, WeightsError
from .trunk_names import OURS, read_trunk

_OWN = "the model's own"
Source = str | os.PathLike | Mapping[str, Any]


@dataclass
class _Translated:
    """A checkpoint under the model's names."""
    naming: str
    state: State
    left: list[str]


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    base: Source | None = None,
    load_class_head: bool = True,
    patch_resize: PatchResize = 'pinv',
    strict: bool = True,
) -> LoadReport:
    """Fill a model from a checkpoint under whatever names; all of it or, if anything does not fit, nothing.

    Recognised are our own checkpoints, EoMT by its authors and by transformers, and the plain ViTs of timm, DINOv2,
    DINOv3, MAE, DeiT III, EVA-02, SAM, PE and transformers. Position embeddings are resized to the model's grid with
    the backbone's options, patch embeddings to its patch size. Pickles are read without running code.

    Args:
        model: A ``PlainViT``, an ``EoMT``, a ``MaskSegmentor`` (its network is filled), or any module for a checkpoint
            under the module's own names. An EoMT's checkpoint fills a ``PlainViT`` as well.
        source: A file (safetensors or PyTorch), a folder or index file of Hugging Face, or a state dict.
        base: The weights that a checkpoint of differences refers to: DINOv3's for EoMT-DINOv3, under any of its names.
        load_class_head: False leaves the class head of the model as it is, to fine-tune on other classes.
        patch_resize: See :func:`densevit.layers.resize_patch_embed`.
        strict: Whether it is an error if the model has tensors that the checkpoint lacks, or the other way round.
            What a dense model never has (a classifier, MAE's decoder) and, for a ``PlainViT``, what is outside of the
            backbone, is left in any case. Shapes must always agree.

    Raises:
        WeightsNotFoundError: There is no such file.
        WeightsError: The file cannot be read, its names are not known, or it does not fit.
    """
    state = read_state_dict(source)
    label = 'the state dict' if isinstance(source, Mapping) else str(source)
    base_state = None if base is None else read_state_dict(base)
    module = model.network if isinstance(model, MaskSegmentor) else model
    try:
        translated = _translate(state, module, base_state)
    except WeightsError as error:
        raise WeightsError(f'{label}: {error}') from error
    model_state = module.state_dict()
    sizes = _trunk_sizes(module, patch_resize, translated.naming)
    if not load_class_head:
        translated.left += [name for name in translated.state if _is_class_head(name)]
        translated.state = {name: tensor for name, tensor in translated.state.items() if not _is_class_head(name)}
    result = fit(translated.state, model_state, sizes)
    _refuse(label, translated, model_state, sizes, result, strict, load_class_head)
    module.load_state_dict(result.tensors, strict=False)
    return LoadReport(
        label, translated.naming,
        loaded=tuple(name for name in result.tensors if name not in result.zeroed),
        resized=result.resized,
        zeroed=tuple(result.zeroed),
        left=(*translated.left, *result.left, *result.unexpected),
        missing=tuple(result.missing))


def _translate(state: State, module: nn.Module, base: State | None) -> _Translated:
    """Names of the model from whatever names the checkpoint has."""
    if not isinstance(module, PlainViT | EoMT):
        _refuse_base(base)
        return _Translated(_OWN, state, [])
    trunk = _backbone(module).trunk
    if eomt := read_eomt(state):
        if eomt.is_delta:
            eomt = replace(eomt, state=add_base(eomt.state, _read_base(base, trunk)))
        else:
            _refuse_base(base)
        return _network(eomt) if isinstance(module, EoMT) else _backbone_alone(eomt)
    _refuse_base(base)
    if found := read_trunk(state, trunk):
        naming, tensors, left = found
        prefix = _prefix(module)
        return _Translated(naming, {prefix + name: tensor for name, tensor in tensors.items()}, left)
    raise WeightsError(f'its names are of no model known here ({", ".join(list(state)[:3])} ...); rename them to those '
                       f'of timm, or to the model\'s own, such as {next(iter(module.state_dict()))}')


def _network(eomt: EoMTWeights) -> _Translated:
    return _Translated(eomt.label, eomt.state, eomt.left)


def _backbone_alone(eomt: EoMTWeights) -> _Translated:
    trunk, heads = split_prefix(eomt.state, TRUNK)
    return _Translated(eomt.label, {'trunk.' + name: tensor for name, tensor in trunk.items()}, eomt.left + heads)


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


def _refuse_base(base: State | None) -> None:
    if base is not None:
        raise WeightsError('this checkpoint is complete and refers to no base weights; leave out base=')


def _backbone(module: nn.Module) -> nn.Module | None:
    return module if isinstance(module, PlainViT) else getattr(module, 'backbone', None)


def _prefix(module: nn.Module) -> str:
    return 'trunk.' if isinstance(module, PlainViT) else TRUNK


def _trunk_sizes(module: nn.Module, patch_resize: PatchResize, naming: str) -> TrunkSizes | None:
    backbone = _backbone(module)
    if not isinstance(backbone, PlainViT):
        return None
    trunk = backbone.trunk
    return TrunkSizes(
        _prefix(module),
        grid=tuple(trunk.patch_embed.grid_size),
        num_prefix_positions=0 if getattr(trunk, 'no_embed_class', False) else backbone.num_prefix_tokens,
        pos_embed_options=backbone.driver.pos_embed_options,
        patch_resize=patch_resize,
        square_source=naming not in (OURS, _OWN))


def _refuse(
    label: str,
    translated: _Translated,
    model_state: State,
    sizes: TrunkSizes | None,
    result: Fit,
    strict: bool,
    load_class_head: bool,
) -> None:
    if not load_class_head:
        result = replace(result, missing=[name for name in result.missing if not _is_class_head(name)])
    lines = describe(result, strict)
    if not result.tensors:
        lines = lines or ['it has none of the tensors of the model']
    if lines:
        hint = explain(translated.state, model_state, sizes.prefix if sizes else '', result)
        raise WeightsError('\n  '.join([f'{label} ({translated.naming} names) does not fit: '
                                        f'{hint or "the tensors below differ"}', *lines]))


def _is_class_head(name: str) -> bool:
    return name.startswith('class_head.')

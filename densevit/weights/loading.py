"""Official and own checkpoints into models."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from ..backbones import PlainViT
from ..errors import shorten
from ..networks.base import Network
from . import zoo
from .diagnosis import describe, explain, other_outputs
from .finite import non_finite
from .fitting import Fit, PatchResize, TrunkSizes, fit
from .load_report import LoadReport, WeightsError
from .lora import place_adapters, split_adapters
from .reading import State, read_state_dict, read_weights
from .renaming import split_prefix
from .translate import OURS, OWN, Translated, translate

Source = str | os.PathLike | Mapping[str, Any]


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    base: Source | None = None,
    prefix: str = '',
    load_class_head: bool = True,
    patch_resize: PatchResize = 'pinv',
    strict: bool = True,
) -> LoadReport:
    """Fill a model from a checkpoint under whatever names; all of it or, if anything does not fit, nothing.

    Recognised are, beside our own checkpoints and those of detectors and segmentors that hold such a backbone:

    - for a ``PlainViT``: timm, DINOv2, DINOv3, MAE, DeiT III, BEiT, EVA-02, SAM, PE, transformers and OpenMMLab; of a
      model that holds a plain ViT, such as an adapter or an EoMT, its ViT;
    - for a ``SimpleFeaturePyramid``: detectron2's ViTDet (``.pkl`` of its model zoo too), or a plain ViT;
    - for a ``ViTAdapter`` or ``ViTCoMer``: their authors' code, DINOv3's adapter, or a plain ViT;
    - for a ``Hiera`` or ``HieraDet``: SAM 2, Hiera's authors (masked autoencoders too), timm and transformers;
    - for a ``TimmPyramid``: timm, the authors' names that timm reads for the family (Swin, ConvNeXt, PVT v2, MiT ...),
      OpenMMLab's Swin, ConvNeXt and MiT, and transformers' MiT;
    - for an ``EoMT``: its authors' code and transformers; for Mask2Former and MaskFormer also mmdetection;
    - for a ``PEM``, ``SegViT``, ``SegViTShrunk`` or ``KMaXDeepLab``: its authors' PyTorch code; for a ``ViTP``: its
      authors' point classifiers, which leave the proposer;
    - for a ``SegFormerNet``: its authors' code, transformers, and OpenMMLab (with ``norm_maps=True``);
    - for a ``SwinIR``, ``HAT``, ``DRCT``, ``ATD``, ``CAT``, ``HiTSR`` or ``Swin2SR``: their authors' code (averaged
      weights first), for the last also transformers;
    - for a ``DPTNet``: transformers (around a backbone with ``norm_out=False``); for a ``LinearNet``: DINOv2's heads;
    - for a ``DPTDepth``: MiDaS 3.1, Depth Anything 1 to 3 (of one view), DINOv2's DPT heads, transformers' DPT, Depth
      Anything and CHMv2; for a ``LinearDepth``: DINOv2's linear heads. The report's naming tells the licence.

    Low-rank adapters (LoRA) of a checkpoint become those of the model, where it has the same, and are merged into the
    weights otherwise; a model whose adapters are not in the checkpoint begins with new ones that change nothing.

    Positions (absolute, relative, of windows) are resized to the model's grid with the backbone's options, patch
    embeddings of a ViT to its patch size. Pickles are read without running code.

    Args:
        model: One of these, a ``Segmentor`` (its network is filled), or any module for a checkpoint under the
            module's own names.
        source: A file (safetensors or PyTorch), a folder or index file of Hugging Face, a URL, a state dict, or the
            name of a known model, such as ``'eomt_tiny_animals'``.
        base: The weights that a checkpoint of differences refers to: DINOv3's for EoMT-DINOv3, under any of its names.
        prefix: Where in the checkpoint the weights are, such as ``'teacher.backbone.'``; only names that begin with it
            are looked at. Needed where it holds several such models; any one prefix is found without.
        load_class_head: False leaves the class heads of the network (``is_of_classes``) as they are, to fine-tune on
            other classes; of OpenMMLab's models, the layers of heads that differ in the number of outputs.
        patch_resize: See :func:`densevit.layers.resize_patch_embed`.
        strict: Whether it is an error if the model has tensors that the checkpoint lacks, or the other way round.
            In any case, what a dense model never has (a classifier, MAE's decoder) and what is outside of the network
            (heads beside a backbone) is left, and what no checkpoint of the kind holds keeps its values: an adapter
            around a plain ViT (its relative positions too), the norms of maps of a ``TimmPyramid``, ``Hiera`` or
            ``HieraDet``. That holds only where there is nothing of it in the checkpoint. Shapes must always agree.

    Raises:
        WeightsNotFoundError: There is no such file.
        WeightsError: The file cannot be read, its names are not known, it holds several such models, it does not
            fit, or its weights are NaN or infinite.
    """
    label = 'the state dict' if isinstance(source, Mapping) else str(source)
    if isinstance(source, str) and source in zoo.names() and not os.path.exists(source):
        item = zoo.entry(source)
        source, base = zoo.find_weights(item), zoo.find_base(item, base)
    state, meta = read_weights(source)
    if prefix:
        state = _under(prefix, state, label)
    base_state = None if base is None else read_state_dict(base)
    network = getattr(model, 'network', None)
    module = network if isinstance(network, Network) else model
    model_state, own_adapters = split_adapters(module.state_dict())
    try:
        state, adapters = place_adapters(state, own_adapters)
        translated = translate(state, module, base_state)
        if translated.check is not None:
            translated.check(meta)
    except WeightsError as error:
        raise WeightsError(f'{label}: {error}') from error
    sizes = _trunk_sizes(module, patch_resize, translated.naming)
    result = fit(translated.state, model_state, sizes)
    is_of_classes = getattr(module, 'is_of_classes', other_outputs(result.misfits).__contains__)
    if not load_class_head:
        translated = _without(translated, is_of_classes)
        result = fit(translated.state, model_state, sizes)
    kept = tuple(name for name in result.missing
                 if name.startswith(translated.unfilled) or (not load_class_head and is_of_classes(name)))
    _refuse(label, translated, module, sizes, result, strict, kept, adapters)
    wrong = [name for name, tensor in result.tensors.items()
             if tensor.is_complex() and not model_state[name].is_complex()]
    if wrong:
        raise WeightsError(f'{label}: holds complex numbers for {shorten(wrong)}, which has real ones')
    result.tensors.update(adapters)
    if len(adapters) < len(own_adapters):  # those of the model begin anew
        result.zeroed += list(adapters)
        kept += tuple(name for name in own_adapters if name not in adapters)
    module.load_state_dict(result.tensors, strict=False)
    if hasattr(module, 'after_loading'):
        module.after_loading(kept)
    return LoadReport(
        label, translated.naming,
        loaded=tuple(name for name in result.tensors if name not in result.zeroed),
        resized=result.resized,
        zeroed=tuple(result.zeroed),
        left=(*translated.left, *result.left, *result.unexpected),
        missing=tuple(result.missing),
        kept=kept,
        meta=meta)


def _without(translated: Translated, unwanted: Callable[[str], bool]) -> Translated:
    names = list(filter(unwanted, translated.state))
    state = {name: tensor for name, tensor in translated.state.items() if name not in names}
    return replace(translated, state=state, left=[*translated.left, *names])


def _under(prefix: str, state: State, label: str) -> State:
    """The tensors under a prefix; mmengine gives it without the dot."""
    inside, outside = split_prefix(state, f'{prefix.removesuffix(".")}.')
    if not inside:
        starts = dict.fromkeys(f'{name.partition(".")[0]}.' for name in outside)
        raise WeightsError(f"{label}: no names begin with prefix='{prefix}'; they begin with {shorten(list(starts))}")
    return inside


def _trunk_sizes(module: nn.Module, patch_resize: PatchResize, naming: str) -> TrunkSizes | None:
    """Sizes of the plain ViT that the module is or holds."""
    found = next(((name, part) for name, part in module.named_modules() if isinstance(part, PlainViT)), None)
    if found is None:
        return None
    name, backbone = found
    trunk = backbone.trunk
    return TrunkSizes(
        f'{name}.trunk.' if name else 'trunk.',
        grid=tuple(trunk.patch_embed.grid_size),
        num_prefix_positions=0 if getattr(trunk, 'no_embed_class', False) else backbone.num_prefix_tokens,
        pos_embed_options=backbone.driver.pos_embed_options,
        patch_resize=patch_resize,
        square_source=naming not in (OURS, OWN),
        cut_blocks=range(backbone.depth, backbone.full_depth))


def _refuse(
    label: str,
    translated: Translated,
    module: nn.Module,
    sizes: TrunkSizes | None,
    result: Fit,
    strict: bool,
    kept: Sequence[str],
    adapters: State,
) -> None:
    result = replace(result, missing=[name for name in result.missing if name not in kept])
    lines = describe(result, strict)
    if not result.tensors:
        lines = lines or ['it has none of the tensors of the model']
    if lines:
        hint = explain(translated.state, module, sizes.prefix if sizes else '', result)
        raise WeightsError('\n  '.join([f'{label} ({translated.naming} names) does not fit: {hint}', *lines]))
    if wrong := non_finite({**result.tensors, **adapters}):
        raise WeightsError(f'{label}: holds NaN or infinite weights ({shorten(wrong)}), with which a model predicts '
                           'nothing: the training diverged; take an earlier checkpoint of it')

"""Names of checkpoints for :class:`densevit.TimmPyramid`: timm's, the authors', OpenMMLab's and transformers'.

timm has for most families a function that reads the authors' names and resizes relative positions; it is used as it is.
OpenMMLab's names of Swin, ConvNeXt and MiT and transformers' of MiT and HGNetV2 are brought to those that it reads
first.
"""
from __future__ import annotations

import re
import sys
from collections import Counter

import torch
from torch import Tensor, nn

from ...backbones import TimmPyramid
from ...backbones.timm_pyramid import build_pyramid
from ..reading import State
from ..renaming import Rule, norms_beside, only_prefix, rename, split_prefix, unfilled_norms
from ..translate import Translated, reads
from .segformer import from_hf_mit, from_openmmlab_mit

_LEVEL_NORM = re.compile(r'norm(\d)\.(weight|bias)')
_MM_SWIN: tuple[Rule, ...] = (
    (r'patch_embed\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'stages\.(\d+)\.blocks\.(\d+)\.attn\.w_msa\.(.+)', r'layers.\1.blocks.\2.attn.\3'),
    (r'stages\.(\d+)\.blocks\.(\d+)\.ffn\.layers\.0\.0\.(.+)', r'layers.\1.blocks.\2.mlp.fc1.\3'),
    (r'stages\.(\d+)\.blocks\.(\d+)\.ffn\.layers\.1\.(.+)', r'layers.\1.blocks.\2.mlp.fc2.\3'),
    (r'stages\.(.+)', r'layers.\1'),
)
_MM_CONVNEXT: tuple[Rule, ...] = (
    (r'(stages\.\d+\.\d+)\.depthwise_conv\.(.+)', r'\1.dwconv.\2'),
    (r'(stages\.\d+\.\d+)\.pointwise_conv(\d\..+)', r'\1.pwconv\2'),
)
_HF_HGNET: tuple[Rule, ...] = tuple(
    (rf'{theirs}(.+)\.{part}\.(.+)', rf'{ours}\1.{new}.\2')
    for theirs, ours in ((r'embedder\.', 'stem.'), (r'encoder\.', ''))
    for part, new in (('convolution', 'conv'), ('normalization', 'bn'), ('lab', 'lab')))


@reads(TimmPyramid)
def read_pyramid(state: State, module: TimmPyramid) -> Translated | None:
    """Recognise a backbone's checkpoint and give it the names of the module.

    The classifier, the final norm and stages behind the last level are left.

    Raises:
        WeightsError: It holds several such backbones.
    """
    with torch.device('meta'):  # names and shapes alone
        whole = build_pyramid(module.timm_name, **module.timm_kwargs)
    needed = {name for name, _ in module.trunk.named_parameters()}
    found = {}
    for prefix in _crowded_prefixes(state, len(needed) // 2):
        label, original = _from_others(split_prefix(state, prefix)[0])
        translated = _to_timm(original, whole)
        if 2 * len(needed & translated.keys()) > len(needed) and not prefix.startswith(tuple(found)):
            found[prefix] = label, original, translated
    prefix = only_prefix(list(found))
    if prefix is None:
        return None
    label, original, translated = found[prefix]
    norms = norms_beside(state, prefix) if module.norms else {}
    result, left = _sort_out({**translated, **norms}, module, whole)
    if resized := _count_new(result, {**original, **norms}):
        label += f', {resized} resized by timm'
    base = prefix.removesuffix('trunk.')
    outside = [name for name in split_prefix(state, prefix)[1] if name.removeprefix(base) not in norms]
    return Translated(label, result, left + outside, unfilled=unfilled_norms(result))


def _crowded_prefixes(state: State, count: int) -> list[str]:
    """What stands before more than ``count`` names, shortest first: there a backbone may be, whatever its names."""
    inner = Counter(name[:dot.end()] for name in state for dot in re.finditer(r'\.', name))
    return ['', *sorted((prefix for prefix, names in inner.items() if names > count), key=len)]


def _to_timm(state: State, whole: nn.Module) -> State:
    """timm's reading of the authors' names; the tensors as they are where it cannot read or resize them."""
    convert = getattr(sys.modules[type(whole).__module__], 'checkpoint_filter_fn', None)
    if convert is None:
        return state
    try:
        return convert(dict(state), whole)
    except (AttributeError, IndexError, KeyError, RuntimeError, ValueError):
        return state


def _sort_out(state: State, module: TimmPyramid, whole: nn.Module) -> tuple[State, list[str]]:
    """Names of the module, and those that are not needed."""
    own, dropped = module.trunk.state_dict().keys(), whole.state_dict().keys()
    classifiers = whole.default_cfg.get('classifier') or ()
    heads = {name.partition('.')[0] for name in ((classifiers, ) if isinstance(classifiers, str) else classifiers)}
    result, left = {}, []
    for name, tensor in state.items():
        if name in own:
            result[f'trunk.{name}'] = tensor
        elif name.startswith('norms.') and module.norms:
            result[name] = tensor
        elif match := _LEVEL_NORM.fullmatch(name):
            level = int(match[1])
            if module.norms and level in module.out_indices:
                result[f'norms.{module.out_indices.index(level)}.{match[2]}'] = tensor
            else:
                left.append(name)
        elif name in dropped or name.partition('.')[0] in {*heads, 'norm', 'norms'}:
            left.append(name)
        else:
            result[f'trunk.{name}'] = tensor
    return result, left


def _from_others(state: State) -> tuple[str, State]:
    if 'stages.0.blocks.0.attn.w_msa.qkv.weight' in state:
        renamed, _ = rename(state, _MM_SWIN)
        return 'OpenMMLab Swin', {name: _unfold_order(tensor) if '.downsample.' in name else tensor
                                  for name, tensor in renamed.items()}
    if 'stages.0.0.depthwise_conv.weight' in state:
        return 'OpenMMLab ConvNeXt', rename(state, _MM_CONVNEXT)[0]
    if 'layers.0.0.projection.weight' in state:
        return 'OpenMMLab MiT', from_openmmlab_mit(state)
    if {'encoder.block.0.0.layer_norm_1.weight', 'stages.0.blocks.0.layernorm_before.weight'} & state.keys():
        return 'transformers MiT', from_hf_mit(state)
    if 'embedder.stem1.convolution.weight' in state:
        return 'transformers HGNetV2', rename(state, _HF_HGNET)[0]
    return 'timm', state


def _unfold_order(tensor: Tensor) -> Tensor:
    """(..., C * 4) of a merge of 2 x 2 patches, by channel and then row by row, to (..., 4 * C), column by column."""
    return tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)[..., [0, 2, 1, 3], :].flatten(-2)


def _count_new(state: State, original: State) -> int:
    """How many tensors hold other values than the checkpoint's."""
    storages = {tensor.untyped_storage().data_ptr() for tensor in original.values()}
    return sum(tensor.untyped_storage().data_ptr() not in storages for tensor in state.values())

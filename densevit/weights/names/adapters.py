"""Names of ViT-Adapter (github.com/czczup/ViT-Adapter, DINOv3's too) and ViT-CoMer (github.com/Traffic-X/ViT-CoMer)
checkpoints, mapped to those of :class:`densevit.ViTAdapter` and :class:`densevit.ViTCoMer`.
"""
from __future__ import annotations

import re
from dataclasses import replace

from torch import nn

from ...adapters import SimpleFeaturePyramid
from ...adapters.interacting import InteractingAdapter
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import OURS, Translated, reads
from .trunks import read_into_trunk, read_trunk

TRUNK = 'vit.trunk.'
# What stands beside the ViT, in the official code and here; beginnings of names.
_ADAPTER_PARTS = ('spm.', 'level_embed', 'interactions.', 'up.', 'norm1.', 'norm2.', 'norm3.', 'norm4.')
# Names that nothing but such an adapter, or nothing but a pyramid of ViTDet, has.
_OF_ADAPTER = re.compile(r'(.+\.)?(spm\.stem|interactions\.\d+)\..+')
_OF_PYRAMID = re.compile(r'(.+\.)?(levels\.\d+\.(project|smooth|resize)\w*|simfp_\d+)\..+')
_ANCHORS = ('spm.stem.0.weight', )
_INTERACTION = r'(interactions\.\d+)\.'
_COMER: tuple[Rule, ...] = (
    (_INTERACTION + r'cti_tov\.(.+)', r'\1.to_vit.\2'),
    (_INTERACTION + r'cti_toc\.cfinter\.(.+)', r'\1.to_cnn.extractor.\2'),
    (_INTERACTION + r'cti_toc\.(.+)', r'\1.to_cnn.\2'),
    (_INTERACTION + r'extra_CTIs\.(\d+)\.cfinter\.(.+)', r'\1.extra_extractors.\2.extractor.\3'),
    (_INTERACTION + r'extra_CTIs\.(.+)', r'\1.extra_extractors.\2'),
    *((_INTERACTION + rf'mrfp\.dwconv\.dwconv{2 * level + i}\.(.+)', rf'\1.mrfp.levels.{level}.conv{size}.\2')
      for level in range(3) for i, size in ((1, 3), (2, 5))),
    *((_INTERACTION + rf'mrfp\.dwconv\.bn{level + 1}\.(.+)', rf'\1.mrfp.levels.{level}.norm.\2') for level in range(3)),
)
_FFN: tuple[Rule, ...] = (
    (r'(.+)\.ffn_norm\.(.+)', r'\1.ffn.norm.\2'),
    (r'(.+\.ffn\.dwconv)\.dwconv\.(.+)', r'\1.\2'),
)
# What the official ViT-CoMer builds and does not use where a direction of an interaction is switched off, and what only
# maps need that a model does not return.
_UNUSED = re.compile(_INTERACTION + r'(mrfp|(to_cnn|extra_extractors\.\d+)\.(query|feat)_norm)\..+'
                     r'|(spm\.fc1|up|norm[1-4])\..+')
_TRUNK: tuple[Rule, ...] = (
    (r'backbone\.(.+)', r'\1'),  # DINOv3's adapter
    (r'(blocks\.\d+)\.gamma([12])', r'\1.ls\2.gamma'),
)


@reads(InteractingAdapter)
def read_adapter_or_vit(state: State, module: InteractingAdapter) -> Translated | None:
    """Recognise a checkpoint with an adapter in it, or of a plain ViT, from which one starts."""
    if found := read_adapter(state, module):
        return Translated(*found)
    plain = read_vit_alone(state, module)
    return plain and replace(plain, unfilled=_ADAPTER_PARTS)


def read_vit_alone(state: State, module: InteractingAdapter | SimpleFeaturePyramid) -> Translated | None:
    """A plain ViT, which an adapter starts from; None for an unknown naming.

    Raises:
        WeightsError: It is the ViT of another adapter, whose parts would be lost unseen.
    """
    for names, whole in ((_OF_ADAPTER, 'ViTAdapter or ViTCoMer'), (_OF_PYRAMID, 'SimpleFeaturePyramid')):
        if part := next(filter(names.fullmatch, state), None):
            raise WeightsError(
                f'it is of a {whole} ({part}), of which this {type(module).__name__} has no use or not all; load it '
                'into such a model, or load only its ViT, into model.vit')
    return read_into_trunk(state, module.vit.trunk, TRUNK)


def read_adapter(state: State, module: nn.Module) -> tuple[str, State, list[str]] | None:
    """Recognise a checkpoint with an adapter in it, whatever heads it has beside, and give it our names.

    Returns:
        The naming's label, the renamed tensors and the names that no adapter needs; None for another model.

    Raises:
        WeightsError: The names of the ViT are not known.
    """
    prefix = common_prefix(state, _ANCHORS)
    if prefix is None:
        return None
    inside, left = split_prefix(state, prefix)
    adapter = {name: tensor for name, tensor in inside.items() if name.startswith(_ADAPTER_PARTS)}
    trunk = {name: tensor for name, tensor in inside.items() if name not in adapter}
    own = module.state_dict()
    if any(name.startswith(TRUNK) for name in trunk):
        unused = [name for name in adapter if name not in own and _UNUSED.fullmatch(name)]
        return OURS, {name: tensor for name, tensor in inside.items() if name not in unused}, [*left, *unused]
    label = 'ViT-CoMer' if any('.cti_to' in name for name in adapter) else 'ViT-Adapter'
    adapter = rename(rename(adapter, _COMER)[0], _FFN)[0]
    unused = [name for name in adapter if name not in own and _UNUSED.fullmatch(name)]
    adapter = {name: tensor for name, tensor in adapter.items() if name not in unused}
    found = read_trunk(rename(trunk, _TRUNK)[0], module.vit.trunk)
    if found is None:
        raise WeightsError('it has an adapter without a plain ViT of a family known here; give a checkpoint of the '
                           'whole backbone')
    _, trunk, left_trunk = found
    return label, {**adapter, **{TRUNK + name: tensor for name, tensor in trunk.items()}}, [*left, *left_trunk, *unused]

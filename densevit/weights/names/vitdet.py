"""Names of ViTDet checkpoints (github.com/facebookresearch/detectron2, projects/ViTDet), mapped to those of
:class:`densevit.adapters.SimpleFeaturePyramid`.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ...adapters import SimpleFeaturePyramid
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import OURS, Translated, reads
from .adapters import TRUNK, read_vit_alone

_ANCHORS = ('net.patch_embed.proj.weight', 'simfp_4.0.weight')
_OUR_ANCHORS = (f'{TRUNK}patch_embed.proj.weight', 'levels.0.project.weight')


@reads(SimpleFeaturePyramid)
def read_vitdet_or_vit(state: State, module: SimpleFeaturePyramid) -> Translated | None:
    """Recognise a ViTDet backbone, or a plain ViT, from which one starts."""
    if found := read_vitdet(state, module):
        return Translated(*found)
    plain = read_vit_alone(state, module)
    return plain and replace(plain, unfilled=_unfilled_by_plain_vit(module, plain.state))


def read_vitdet(state: State, module: SimpleFeaturePyramid) -> tuple[str, State, list[str]] | None:
    """Recognise a ViTDet backbone, whatever heads the checkpoint has beside it.

    Returns:
        The naming's label, tensors under our names and the names that are not needed, those of levels that the model
        does not have among them where it is detectron2's; None for another model.
    """
    if (prefix := common_prefix(state, _OUR_ANCHORS)) is not None:
        return OURS, *split_prefix(state, prefix)
    prefix = common_prefix(state, _ANCHORS)
    if prefix is None:
        return None
    inside, heads = split_prefix(state, prefix)
    rules: list[Rule] = [(r'net\.(.+)', rf'{TRUNK}\1')]
    for stage in sorted({int(match[1]) for name in inside if (match := re.match(r'simfp_(\d+)\.', name))}):
        rules += _level_rules(inside, stage, module.strides)
    renamed, left = rename(inside, rules)
    return 'detectron2 ViTDet', renamed, [*left, *heads]


def _unfilled_by_plain_vit(module: SimpleFeaturePyramid, state: State) -> tuple[str, ...]:
    """Beginnings of the names that a plain ViT's checkpoint, under our names, does not fill.

    Those are the levels, and a SAM trunk's relative positions unless it is a SAM's.
    """
    if any('.rel_pos_' in name for name in state):
        return 'levels.',
    return 'levels.', *(f'{TRUNK}blocks.{index}.attn.rel_pos_' for index in range(module.depth))


def _level_rules(state: State, stage: int, strides: Sequence[int]) -> list[Rule]:
    """A level is a sequence whose last two layers are the convolutions; its name tells its stride, 2 ** stage."""
    if 2**stage not in strides:
        return [(rf'simfp_{stage}\..+', None)]
    ours = f'levels.{list(strides).index(2**stage)}'
    layers = {int(match[1]) for name in state if (match := re.match(rf'simfp_{stage}\.(\d+)\.', name))}
    rules: list[Rule] = []
    for layer, name in zip(sorted(layers)[-2:], ('project', 'smooth'), strict=False):
        rules += [(rf'simfp_{stage}\.{layer}\.norm\.(.+)', rf'{ours}.{name}_norm.\1'),
                  (rf'simfp_{stage}\.{layer}\.(.+)', rf'{ours}.{name}.\1')]
    return [*rules, (rf'simfp_{stage}\.(\d+\..+)', rf'{ours}.resize.\1')]

"""Names of Plain DETR's checkpoints (github.com/impiga/Plain-DETR), mapped to those of our network.

Those with re-parameterised boxes, ``*_reparam.pth``, are meant: the others have the same names and shapes, but their
boxes are sigmoids. Which is which is in the options that the authors' script stores beside the weights.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ...networks.detection import PlainDETR
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, Translated, read_around, reads
from .lw_detr import COCO_IDS
from .queries import split_attention

_ANCHORS = ('transformer.pos_trans.weight', 'transformer.level_embed', 'input_proj.0.0.weight')
_TRUNKS = ('backbone.0.net.body.', 'backbone.0.body.')  # with and without layers that make the map finer
_LAYER = r'transformer\.decoder\.layers\.(\d+)\.'
_AXES = tuple((_LAYER + rf'cross_attn\.cpb_mlp{number}\.{theirs}\.(.+)',
               rf'layers.\1.cross_attn.{axis}_bias.linear{ours}.\2')
              for number, axis in ((1, 'x'), (2, 'y')) for theirs, ours in ((0, 1), (2, 2)))
_RULES: tuple[Rule, ...] = (
    (r'transformer\.decoder\.(?:class|bbox)_embed\..+', None),  # the heads a second time
    (r'backbone\.0\.upsample\.(\d+)\.(?:ln\.)?(.+)', r'upsample.\1.\2'),
    (r'input_proj\.0\.(.+)', r'input_proj.\1'),
    (r'transformer\.level_embed', 'level_embed'),
    (r'transformer\.enc_output_proj\.(\d+)\.(\d+)\.(?:ln\.)?(.+)', r'proposal_maps.\1.\2.\3'),
    (r'transformer\.enc_output\.(.+)', r'proposal_head.0.\1'),
    (r'transformer\.enc_output_norm\.(.+)', r'proposal_head.1.\1'),
    (r'transformer\.pos_trans\.(.+)', r'position_head.0.\1'),
    (r'transformer\.pos_trans_norm\.(.+)', r'position_head.1.\1'),
    *_AXES,
    (_LAYER + r'cross_attn\.([qkv])\.(.+)', r'layers.\1.cross_attn.\2_proj.\3'),
    (_LAYER + r'cross_attn\.proj\.(.+)', r'layers.\1.cross_attn.out_proj.\2'),
    (_LAYER + r'(self_attn\..+)', r'layers.\1.\2'),
    (_LAYER + r'norm1\.(.+)', r'layers.\1.norm2.\2'),  # theirs are numbered as in post-norm layers of another order
    (_LAYER + r'norm2\.(.+)', r'layers.\1.norm1.\2'),
    (_LAYER + r'norm3\.(.+)', r'layers.\1.norm3.\2'),
    (_LAYER + r'linear1\.(.+)', r'layers.\1.ffn.0.\2'),
    (_LAYER + r'linear2\.(.+)', r'layers.\1.ffn.2.\2'),
    (r'transformer\.decoder\.final_layer_norm\.(.+)', r'norm.\1'),
    (r'class_embed\.(.+)', r'class_head.\1'),
    *((rf'bbox_embed\.(\d+)\.layers\.{index}\.(.+)', rf'box_head.\1.{2 * index}.\2') for index in range(3)),
)


@reads(PlainDETR)
def read_plain_detr(state: State, module: PlainDETR) -> Translated | None:
    """Recognise a checkpoint of Plain DETR by its authors."""
    prefix = common_prefix(state, _ANCHORS)
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    place = next((place for place in _TRUNKS if any(name.startswith(place) for name in inside)), _TRUNKS[-1])
    trunk, others = split_prefix(inside, place)
    head, unneeded = rename({name: inside[name] for name in others}, _RULES)
    head = _own_classes(split_attention(head), module.num_classes)
    found = read_around(HeadAndBackbone("the authors' Plain DETR", head, trunk, [*outside, *unneeded]), module)
    return replace(found, check=_refuse_sigmoids)


def _refuse_sigmoids(meta: Mapping[str, Any]) -> None:
    args = meta.get('args')
    if isinstance(args, Mapping) and args.get('reparam') is False:
        raise WeightsError('it was trained without --reparam: its boxes are sigmoids, under the names of differences '
                           'in pixels; take the checkpoint whose name ends with _reparam.pth')


def _own_classes(head: State, num_classes: int) -> State:
    """COCO's 80 classes of the 91 ids of its files; of cells that propose boxes, the first says that there is one."""
    if num_classes != len(COCO_IDS) or len(head['class_head.0.weight']) != COCO_IDS[-1] + 1:
        return head
    ids = torch.tensor(COCO_IDS)
    last = max(int(name.split('.')[1]) for name in head if name.startswith('class_head.'))
    return {name: tensor if not name.startswith('class_head.') else
            tensor[:num_classes] if name.startswith(f'class_head.{last}.') else tensor[ids]
            for name, tensor in head.items()}

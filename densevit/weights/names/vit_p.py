"""Names of ViT-P's point classifiers (github.com/sajjad-sh33/ViT-P), mapped to those of
:class:`densevit.networks.segmentation.ViTP`.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...networks.segmentation import ViTP
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import Translated, reads
from .trunks import read_into_trunk

_LABEL = "the authors' ViT-P"
_ANCHORS = ('patch_embed.proj.weight', 'cls_embeddings.weight')
_HEADS: tuple[Rule, ...] = (
    (r'cls_embeddings\.weight', 'point_embed.weight'),
    (r'head\.(.+)', r'class_head.\1'),
)
_OFFSET = .1


@reads(ViTP)
def read_vit_p(state: State, module: ViTP) -> Translated | None:
    """Recognise a point classifier of ViT-P's authors, which leaves the proposer as it is.

    Raises:
        WeightsError: The ViT is of a family that the backbone is not.
    """
    prefix = common_prefix(state, _ANCHORS)
    if prefix is None:
        return None
    inside, left = split_prefix(state, prefix)
    heads = {name: inside.pop(name) for name in list(inside) if name.startswith(('cls_embeddings.', 'head.'))}
    positions = inside.get('pos_embed')
    if positions is None:
        raise WeightsError('the checkpoint of ViT-P has no pos_embed; it is incomplete, get it again')
    inside['cls_token'] = positions.new_zeros(1, 1, positions.shape[-1])  # a point's token is its position alone
    inside['pos_embed'] = _as_used(positions)
    vit = read_into_trunk(inside, module.backbone.trunk, 'backbone.trunk.')
    if vit is None:
        raise WeightsError('the ViT of this ViT-P has names of no family known here')
    renamed, _ = rename(heads, _HEADS)
    return Translated(_LABEL, {**vit.state, **renamed}, [*left, *vit.left], unfilled=('proposer.', ))


def _as_used(positions: Tensor) -> Tensor:
    """Positions as the authors' code adds them to images of the size that they are made for.

    With more than one point it takes their grid, n by n, for another one, and stretches them by (n + 0.1) / n.
    """
    side = round((positions.shape[1] - 1)**.5)
    maps = positions[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, scale_factor=(side + _OFFSET) / side, mode='bicubic')
    return torch.cat((positions[:, :1], maps.flatten(2).transpose(1, 2).to(positions.dtype)), dim=1)

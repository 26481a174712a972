"""Names of SegViT's authors' checkpoints (github.com/zbwxp/SegVit), mapped to those of
:class:`densevit.networks.segmentation.SegViT` and :class:`densevit.networks.segmentation.SegViTShrunk`.
"""
from __future__ import annotations

import math

from ...networks.segmentation import SegViT, SegViTShrunk
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, reads_head
from .queries import split_attention

_HEAD, _BACKBONE = 'decode_head.', 'backbone.'
_WHOLE_ANCHORS = ('decode_head.q.weight', 'decode_head.decoder_1.layers.0.multihead_attn.q.weight')
_SHRUNK_ANCHORS = ('decode_head.q.weight', 'decode_head.atm.q.weight')
_MAX_STAGES = 4
# A decoder layer with attention to mask.
_LAYER = (
    (r'self_attn\.(.+)', 'self_attention.attn'),
    (r'norm1\.(.+)', 'self_attention.norm'),
    (r'multihead_attn\.proj\.(.+)', 'cross_attention.out_proj'),
    (r'multihead_attn\.q\.(.+)', 'cross_attention.q_proj'),
    (r'multihead_attn\.k\.(.+)', 'cross_attention.k_proj'),
    (r'multihead_attn\.v\.(.+)', 'cross_attention.v_proj'),
    (r'norm2\.(.+)', 'norm'),
    (r'linear1\.(.+)', 'feed_forward.linear1'),
    (r'linear2\.(.+)', 'feed_forward.linear2'),
    (r'norm3\.(.+)', 'feed_forward.norm'),
)


def _decoder(theirs: str, ours: str) -> tuple[Rule, ...]:
    return tuple((rf'{theirs}\.layers\.(\d+)\.{part}', rf'{ours}.\1.{new}.\2') for part, new in _LAYER)


def _projection(stage: int) -> tuple[Rule, ...]:
    return ((rf'input_proj_{stage + 1}\.(.+)', rf'projections.{stage}.linear.\1'),
            (rf'proj_norm_{stage + 1}\.(.+)', rf'projections.{stage}.norm.\1'))


_WHOLE: tuple[Rule, ...] = (
    (r'q\.weight', 'query.weight'),
    (r'class_embed\.(.+)', r'class_head.\1'),
    *(rule for stage in range(_MAX_STAGES)
      for rule in (*_projection(stage), *_decoder(f'decoder_{stage + 1}', f'stages.{stage}'))),
)
_SHRUNK: tuple[Rule, ...] = (
    (r'q\.weight', 'patch_queries'),
    (r'atm\.q\.weight', 'query.weight'),
    (r'atm\.class_embed\.(.+)', r'class_head.\1'),
    *_decoder(r'atm\.decoder_1', 'decoder'),
    *_projection(0), *_projection(1),
    *((rf'decoder_{stage + 1}\.layers\.(.+)', rf'upsampling.{stage}.\1') for stage in range(2)),
)


@reads_head(SegViT)
def read_segvit(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint with the authors' ``ATMHead``.

    Raises:
        WeightsError: It is of the Shrunk structure.
    """
    if common_prefix(state, _SHRUNK_ANCHORS) is not None:
        raise WeightsError("it is of SegViT's Shrunk structure; load it into a SegViTShrunk")
    found = _apart("the authors' SegViT", state, _WHOLE_ANCHORS, _WHOLE)
    return found and found._replace(head=split_attention(found.head))


@reads_head(SegViTShrunk)
def read_segvit_shrunk(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint with the authors' ``TPNATMHead``.

    Raises:
        WeightsError: It is of SegViT as it is; or its queries do not fill a square, as all of the authors' do.
    """
    if common_prefix(state, _WHOLE_ANCHORS) is not None:
        raise WeightsError('it is of a SegViT that does not shrink; load it into a SegViT')
    found = _apart("the authors' Shrunk SegViT", state, _SHRUNK_ANCHORS, _SHRUNK)
    if found is None:
        return None
    head = found.head
    # The layers that read the levels are PyTorch's, whose projections are one matrix here too.
    decoder = {name: tensor for name, tensor in head.items() if name.startswith('decoder.')}
    head = {**{name: tensor for name, tensor in head.items() if name not in decoder}, **split_attention(decoder)}
    number, dim = head['patch_queries'].shape
    side = math.isqrt(number)
    if side**2 != number:
        raise WeightsError(f'decode_head.q.weight has {number} queries, which are no square')
    head['patch_queries'] = head['patch_queries'].T.reshape(1, dim, side, side)
    return found._replace(head=head)


def _apart(
    naming: str,
    state: State,
    anchors: tuple[str, ...],
    rules: tuple[Rule, ...],
) -> HeadAndBackbone | None:
    prefix = common_prefix(state, anchors)
    if prefix is None:
        return None
    inside, left = split_prefix(state, prefix)
    head, others = split_prefix(inside, _HEAD)
    backbone, others = split_prefix({name: inside[name] for name in others}, _BACKBONE)
    renamed, unneeded = rename(head, rules)
    return HeadAndBackbone(naming, renamed, backbone, [*left, *others, *unneeded])

"""Names of ViTMatte checkpoints, mapped to those of :class:`densevit.networks.matting.ViTMatte`.

Known are the authors' (github.com/hustvl/ViTMatte, MIT) and transformers'. The published weights have learnt from
Adobe's Composition-1k or from Distinctions-646, which are given out for research: reports say so.
"""
from __future__ import annotations

from ...networks.matting import ViTMatte
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, reads_head

_TERMS = 'code MIT; published weights learnt from Composition-1k or Distinctions-646, which are for research'
# A block of both is one of ViTDet's, with a residual block of its own inside.
_AUTHORS: tuple[Rule, ...] = (
    (r'backbone\.blocks\.(\d+)\.residual\.(.+)', r'residual.\1.\2'),
    (r'decoder\.convstream\.convs\.(\d)\.conv\.(.+)', r'detail.\1.conv.\2'),
    (r'decoder\.convstream\.convs\.(\d)\.bn\.(.+)', r'detail.\1.norm.\2'),
    (r'decoder\.fusion_blks\.(\d)\.conv\.conv\.(.+)', r'fusion.\1.conv.\2'),
    (r'decoder\.fusion_blks\.(\d)\.conv\.bn\.(.+)', r'fusion.\1.norm.\2'),
    (r'decoder\.matting_head\.matting_convs\.(.+)', r'predict.\1'),
    (r'pixel_(?:mean|std)', None),
)
_TRANSFORMERS: tuple[Rule, ...] = (
    (r'backbone\.encoder\.layer\.(\d+)\.residual\.(.+)', r'residual.\1.\2'),
    (r'backbone\.encoder\.layer\.(\d+)\.attention\.(.+)', r'backbone.blocks.\1.attn.\2'),
    (r'backbone\.encoder\.layer\.(\d+)\.(.+)', r'backbone.blocks.\1.\2'),
    (r'backbone\.embeddings\.projection\.(.+)', r'backbone.patch_embed.proj.\1'),
    (r'backbone\.embeddings\.position_embeddings', r'backbone.pos_embed'),
    (r'decoder\.convstream\.convs\.(\d)\.conv\.(.+)', r'detail.\1.conv.\2'),
    (r'decoder\.convstream\.convs\.(\d)\.batch_norm\.(.+)', r'detail.\1.norm.\2'),
    (r'decoder\.fusion_blocks\.(\d)\.conv\.conv\.(.+)', r'fusion.\1.conv.\2'),
    (r'decoder\.fusion_blocks\.(\d)\.conv\.batch_norm\.(.+)', r'fusion.\1.norm.\2'),
    (r'decoder\.matting_head\.matting_convs\.(.+)', r'predict.\1'),
)
_NAMINGS = (
    ("the authors' ViTMatte", ('backbone.patch_embed.proj.weight', 'decoder.fusion_blks.0.conv.conv.weight'), _AUTHORS),
    ("transformers' ViTMatte", ('backbone.embeddings.projection.weight', 'decoder.fusion_blocks.0.conv.conv.weight'),
     _TRANSFORMERS),
)


@reads_head(ViTMatte)
def read_vitmatte(state: State) -> HeadAndBackbone | None:
    """Recognise a ViTMatte of its authors or of transformers."""
    for label, anchors, rules in _NAMINGS:
        if (prefix := common_prefix(state, anchors)) is None:
            continue
        inside, outside = split_prefix(state, prefix)
        renamed, left = rename(inside, rules)
        trunk, head = split_prefix(renamed, 'backbone.')
        return HeadAndBackbone(f'{label} ({_TERMS})', {name: renamed[name] for name in head}, trunk, [*left, *outside])
    return None

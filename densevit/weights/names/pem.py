"""Names of PEM's authors' checkpoints (github.com/NiccoloCavagnero/PEM), mapped to those of
:class:`densevit.networks.segmentation.PEM`.
"""
from __future__ import annotations

from ...networks.segmentation import PEM
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, reads_head
from .detectron2_resnet import from_detectron2_resnet
from .queries import split_attention

_LABEL = "the authors' PEM"
_HEAD, _BACKBONE = 'sem_seg_head.', 'backbone.'
_ANCHORS = ('sem_seg_head.pixel_decoder.conv_avg.conv.weight',
            'sem_seg_head.predictor.transformer_cross_attention_layers.0.alpha')
_CROSS = r'predictor\.transformer_cross_attention_layers\.(\d+)\.'
_SELF = r'predictor\.transformer_self_attention_layers\.(\d+)\.'
_FFN = r'predictor\.transformer_ffn_layers\.(\d+)\.'


def _coarsest_first(level: int) -> tuple[Rule, ...]:
    """Names of what the authors number from stride 32 down, and here from stride 4 up."""
    old, new = rf'pixel_decoder\.dcn\.{level}\.', f'pixel_decoder.refine.{2 - level}.'
    return (
        (rf'pixel_decoder\.csm\.{level}\.mlp\.0\.mlp\.(.+)', rf'pixel_decoder.modulate.{3 - level}.weigh.\1'),
        (old + r'dcn_offset\.(.+)', new + r'conv.offset.\1'),
        (old + r'dcn\.weight', new + 'conv.weight'),
        (old + r'dcn_bn\.(.+)', new + r'norm.\1'),
        (old + r'up_sample\.(.+)', new + r'up.\1'),
        (old + r'up_bn\.(.+)', new + r'up_norm.\1'),
    )


_RULES: tuple[Rule, ...] = (
    (r'pixel_decoder\.in_projections\.(\d)\.conv\.(.+)', r'pixel_decoder.project.\1.0.\2'),
    (r'pixel_decoder\.in_projections\.(\d)\.bn\.(.+)', r'pixel_decoder.project.\1.1.\2'),
    (r'pixel_decoder\.conv_avg\.conv\.(.+)', r'pixel_decoder.context.0.\1'),
    (r'pixel_decoder\.conv_avg\.bn\.(.+)', r'pixel_decoder.context.1.\1'),
    (r'pixel_decoder\.out\.conv\.(.+)', r'pixel_decoder.mask_features.0.\1'),
    (r'pixel_decoder\.out\.bn\.(.+)', r'pixel_decoder.mask_features.1.\1'),
    *(rule for level in range(4) for rule in _coarsest_first(level)),
    (_CROSS + r'feature_proj\.to_query_3x3\.(.+)', r'layers.\1.cross_attn.tokens.conv.\2'),
    (_CROSS + r'feature_proj\.bn\.(.+)', r'layers.\1.cross_attn.tokens.norm.\2'),
    (_CROSS + r'feature_proj\.out\.(.+)', r'layers.\1.cross_attn.tokens.proj.\2'),
    (_CROSS + r'query_proj\.(.+)', r'layers.\1.cross_attn.query.\2'),
    (_CROSS + r'proj\.(.+)', r'layers.\1.cross_attn.modulation.\2'),
    (_CROSS + r'final\.(.+)', r'layers.\1.cross_attn.out.\2'),
    (_CROSS + r'alpha', r'layers.\1.cross_attn.scale'),
    (_SELF + r'self_attn\.(.+)', r'layers.\1.self_attn.\2'),
    (_SELF + r'norm\.(.+)', r'layers.\1.norm1.\2'),
    (_FFN + r'linear([12])\.(.+)', r'layers.\1.ffn.fc\2.\3'),
    (_FFN + r'norm\.(.+)', r'layers.\1.norm2.\2'),
    (r'predictor\.input_proj\.(.+)', r'project.\1'),
    (r'predictor\.level_embed\.(.+)', r'level_embed.\1'),
    (r'predictor\.query_feat\.(.+)', r'query.\1'),
    (r'predictor\.query_embed\.(.+)', r'query_pos.\1'),
    (r'predictor\.decoder_norm\.(.+)', r'norm.\1'),
    (r'predictor\.class_embed\.(.+)', r'class_head.\1'),
    *((rf'predictor\.mask_embed\.layers\.{index}\.(.+)', rf'mask_head.{2 * index}.\1') for index in range(3)),
)


@reads_head(PEM)
def read_pem(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint of PEM's authors."""
    prefix = common_prefix(state, _ANCHORS)
    if prefix is None:
        return None
    inside, left = split_prefix(state, prefix)
    head, others = split_prefix(inside, _HEAD)
    backbone, others = split_prefix({name: inside[name] for name in others}, _BACKBONE)
    head = split_attention(rename(head, _RULES)[0])
    head = {name: tensor.flatten() if name.endswith('.cross_attn.scale') else tensor for name, tensor in head.items()}
    return HeadAndBackbone(_LABEL, head, from_detectron2_resnet(backbone), [*left, *others])

"""Names of checkpoints of restoration networks: their authors', and transformers' of Swin2SR.

The networks here have the authors' names but for CAT and N-grams. What is left of a file follows from sizes: masks and
indices of windows, which are of the size of the training images there, so that such a file would fit no other.
"""
from __future__ import annotations

from ...networks.restoration import ATD, CAT, DRCT, HAT, HiTSR, Swin2SR, SwinIR
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, fuse, rename, split_prefix
from ..translate import Translated, reads

_FROM_SIZES: tuple[Rule, ...] = (
    (r'(.+\.)?attn_mask(_[01])?', None),
    (r'(.+\.)?relative_position_index(_SA|_OCA)?', None),
    (r'.+\.relative_coords_table', None),
    (r'.+\.rpe_biases', None),
    (r'no_norm', None),
)
_NO_MEAN = 'no_norm'  # a mark of ATD's checkpoints
_CAT: tuple[Rule, ...] = (
    *_FROM_SIZES,
    (r'before_RG\.1\.(.+)', r'patch_embed.norm.\1'),
    (r'layers\.(\d+)\.blocks\.(.+)', r'layers.\1.residual_group.blocks.\2'),
)
_HIT: tuple[Rule, ...] = (
    *_FROM_SIZES,
    (r'(.+)\.ngram_window_partition\.(ngram_context\..+)', r'\1.\2'),
)
_HF_LAYER, _BLOCK = r'swin2sr\.encoder\.stages\.(\d+)\.layers\.(\d+)\.', r'layers.\1.residual_group.blocks.\2.'
_HF: tuple[Rule, ...] = (
    (r'swin2sr\.first_convolution\.(.+)', r'conv_first.\1'),
    (r'swin2sr\.embeddings\.patch_embeddings\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'swin2sr\.embeddings\.patch_embeddings\.layernorm\.(.+)', r'patch_embed.norm.\1'),
    (_HF_LAYER + r'attention\.self\.logit_scale', _BLOCK + 'attn.logit_scale'),
    (_HF_LAYER + r'attention\.self\.continuous_position_bias_mlp\.(.+)', _BLOCK + r'attn.cpb_mlp.\3'),
    (_HF_LAYER + r'attention\.self\.(query|value)\.bias', _BLOCK + r'attn.\3_bias'),
    (_HF_LAYER + r'attention\.self\.(query|key|value)\.weight', _BLOCK + r'attn.\3.weight'),
    (_HF_LAYER + r'attention\.output\.dense\.(.+)', _BLOCK + r'attn.proj.\3'),
    (_HF_LAYER + r'layernorm_before\.(.+)', _BLOCK + r'norm1.\3'),
    (_HF_LAYER + r'intermediate\.dense\.(.+)', _BLOCK + r'mlp.fc1.\3'),
    (_HF_LAYER + r'output\.dense\.(.+)', _BLOCK + r'mlp.fc2.\3'),
    (_HF_LAYER + r'layernorm_after\.(.+)', _BLOCK + r'norm2.\3'),
    (_HF_LAYER + r'.+(relative_coords_table|relative_position_index)', None),
    (r'swin2sr\.encoder\.stages\.(\d+)\.conv\.(.+)', r'layers.\1.conv.\2'),
    (r'swin2sr\.encoder\.stages\.(\d+)\.patch_embed\.projection\.(.+)', r'layers.\1.patch_embed.proj.\2'),
    (r'swin2sr\.layernorm\.(.+)', r'norm.\1'),
    (r'swin2sr\.conv_after_body\.(.+)', r'conv_after_body.\1'),
    (r'upsample\.conv_before_upsample\.(.+)', r'conv_before_upsample.0.\1'),
    (r'upsample\.upsample\.convolution\.(.+)', r'upsample.0.\1'),  # by 3
    (r'upsample\.upsample\.convolution_0\.(.+)', r'upsample.0.\1'),
    (r'upsample\.upsample\.convolution_1\.(.+)', r'upsample.2.\1'),
    (r'upsample\.upsample\.convolution_2\.(.+)', r'upsample.4.\1'),
    (r'upsample\.conv\.(.+)', r'upsample.0.\1'),
    (r'upsample\.final_convolution\.(.+)', r'conv_last.\1'),
    (r'upsample\.(conv_(?:up1|up2|hr|bicubic|aux|after_aux)\..+)', r'\1'),
    (r'final_convolution\.(.+)', r'conv_last.\1'),
)


@reads(SwinIR, HAT, DRCT, ATD, HiTSR, Swin2SR)
def read_restoration(state: State, module: SwinIR | HAT | DRCT | ATD | HiTSR | Swin2SR) -> Translated | None:
    """Recognise a checkpoint of the authors.

    Raises:
        WeightsError: It is of an ATD that subtracts no mean from images, and the module does, or the other way round.
    """
    prefix = common_prefix(state, ('conv_first.weight', 'conv_after_body.weight', 'patch_embed.norm.weight'))
    if prefix is None:  # three convolutions in the place of one
        prefix = common_prefix(state, ('conv_first.weight', 'conv_after_body.0.weight', 'patch_embed.norm.weight'))
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    if isinstance(module, ATD) and (_NO_MEAN in inside) == bool(module.mean.any()):
        subtract = bool(_NO_MEAN not in inside)
        raise WeightsError(f'its images have {"the" if subtract else "no"} mean subtracted: build the model with '
                           f'subtract_mean={subtract} (model.head.subtract_mean)')
    renamed, left = rename(inside, _HIT if isinstance(module, HiTSR) else _FROM_SIZES)
    return Translated(f"the authors' {type(module).__name__}", renamed, [*outside, *left])


@reads(CAT)
def read_cat(state: State, module: CAT) -> Translated | None:
    """Recognise a checkpoint of CAT's authors."""
    prefix = common_prefix(state, ('conv_first.weight', 'before_RG.1.weight', 'conv_after_body.weight'))
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    renamed, left = rename(inside, _CAT)
    return Translated("the authors' CAT", renamed, [*outside, *left])


@reads(Swin2SR)
def read_swin2sr_of_transformers(state: State, module: Swin2SR) -> Translated | None:
    """Recognise a checkpoint of transformers' ``Swin2SRForImageSuperResolution``."""
    prefix = common_prefix(state, ('swin2sr.first_convolution.weight', 'swin2sr.conv_after_body.weight'))
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    renamed, left = rename(inside, _HF)
    renamed = {name.replace('attn.query_bias', 'attn.q_bias').replace('attn.value_bias', 'attn.v_bias'): tensor
               for name, tensor in renamed.items()}
    return Translated('transformers Swin2SR', fuse(renamed, ('query', 'key', 'value'), 'qkv'), [*outside, *left])

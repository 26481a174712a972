"""Names of DEIMv2's and D-FINE's checkpoints, mapped to those of :class:`densevit.networks.detection.DEIM`.

Known are the authors' (github.com/Intellindust-AI-Lab/DEIMv2, github.com/Peterande/D-FINE) and transformers'.
"""
from __future__ import annotations

import re
from typing import NamedTuple

import torch

from ...networks.detection import DEIM
from ..reading import State
from ..renaming import Rule, common_prefix, fuse, rename, split_prefix
from ..translate import HeadAndBackbone, Translated, read_around, reads
from .queries import split_attention

# transformers: a level's convolution and its norm are numbered in D-FINE.
_CONV_OR_NUMBER = tuple((theirs, ours) for ours, theirs in (('conv', '(?:conv|0)'), ('norm', '(?:norm|1)')))


def _layers(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A perceptron, whose activations have no number there; ``ours`` ends where the layer's number begins."""
    last = re.compile(theirs).groups + 1
    return tuple((rf'{theirs}\.layers\.{index}\.(weight|bias)', rf'{ours}{2 * index}.\g<{last}>') for index in range(3))


def _blocks(direction: str, ours: str, encoder: str) -> tuple[Rule, ...]:
    """transformers' fusing blocks of one direction."""
    start, out = rf'{encoder}{direction}_blocks\.(\d+)\.', rf'encoder.{ours}_blocks.\1.'
    rules = [(start + r'conv1\.(.+)', out + r'split.\2'), (start + r'conv4\.(.+)', out + r'join.\2'),
             (start + r'conv3\.(.+)', out + r'branches.1.1.\2')]
    for index in range(2):
        csp = rf'{start}csp_rep{index + 1}\.'
        branch = rf'{out}branches.{index}.'
        rules += [(csp + r'conv1\.(.+)', branch + r'0.conv1.\2'), (csp + r'conv2\.(.+)', branch + r'0.conv2.\2'),
                  (csp + r'bottlenecks\.(\d+)\.conv1\.(.+)', branch + r'0.blocks.\2.wide.\3'),
                  (csp + r'bottlenecks\.(\d+)\.conv2\.(.+)', branch + r'0.blocks.\2.narrow.\3')]
    return tuple(rules)


_HF_ENCODER = r'model\.encoder\.'
_HF_ATTENTION = r'model\.encoder\.aifi\.0\.layers\.0\.'
_HF_LAYER = r'model\.decoder\.layers\.(\d+)\.'
_HF: tuple[Rule, ...] = (
    (r'model\.conv_encoder\.spatial_tuning_adapter\.stem_conv\.(.+)', r'levels.stem.0.\1'),
    *((rf'model\.conv_encoder\.spatial_tuning_adapter\.conv{index + 2}\.(.+)', rf'levels.side.{index}.\1')
      for index in range(3)),
    (r'model\.conv_encoder\.(?:fusion_proj|encoder_input_proj)\.(\d+)\.(.+)', r'levels.fuse.\1.\2'),
    *((rf'model\.{theirs}\.(\d+)\.{part}\.(.+)', rf'{ours}.\1.{new}.\2')
      for theirs, ours in (('encoder_input_proj', 'levels.fuse'), ('decoder_input_proj', 'memory_projections'))
      for part, new in _CONV_OR_NUMBER),
    (_HF_ATTENTION + r'self_attn\.o_proj\.(.+)', r'encoder.layer.self_attn.attn.out_proj.\1'),
    (_HF_ATTENTION + r'self_attn\.(.+)', r'encoder.layer.self_attn.attn.\1'),
    (_HF_ATTENTION + r'self_attn_layer_norm\.(.+)', r'encoder.layer.self_attn.norm.\1'),
    *_layers(_HF_ATTENTION + 'mlp', 'encoder.layer.ffn.'),
    (_HF_ATTENTION + r'final_layer_norm\.(.+)', r'encoder.layer.norm.\1'),
    (_HF_ENCODER + r'lateral_convs\.(\d+)\.(.+)', r'encoder.lateral.\1.\2'),
    (_HF_ENCODER + r'downsample_convs\.(\d+)\.conv1\.(.+)', r'encoder.down.\1.0.\2'),
    (_HF_ENCODER + r'downsample_convs\.(\d+)\.conv2\.(.+)', r'encoder.down.\1.1.\2'),
    *_blocks('fpn', 'up', _HF_ENCODER),
    *_blocks('pan', 'down', _HF_ENCODER),
    (r'model\.denoising_class_embed\.weight', 'noise_embed.weight'),
    (r'model\.enc_output\.(.+)', r'proposals.features.\1'),
    (r'model\.enc_score_head\.(.+)', r'proposals.class_head.\1'),
    *_layers(r'model\.enc_bbox_head', 'proposals.box_head.'),
    (r'model\.decoder\.reg_scale', 'bin_scale'),
    (r'model\.decoder\.up', 'bin_bound'),
    (_HF_LAYER + r'self_attn\.o_proj\.(.+)', r'layers.\1.self_attn.out_proj.\2'),
    (_HF_LAYER + r'self_attn\.(.+)', r'layers.\1.self_attn.\2'),
    (_HF_LAYER + r'self_attn_layer_norm\.(.+)', r'layers.\1.norm1.\2'),
    (_HF_LAYER + r'encoder_attn\.num_points_scale', None),
    (_HF_LAYER + r'encoder_attn\.(.+)', r'layers.\1.cross_attn.\2'),
    (_HF_LAYER + r'gateway\.gate\.(.+)', r'layers.\1.gate.\2'),
    (_HF_LAYER + r'gateway\.norm\.(.+)', r'layers.\1.norm2.\2'),
    *_layers(_HF_LAYER + 'mlp', r'layers.\1.ffn.'),
    (_HF_LAYER + r'mlp\.(gate_proj|up_proj)\.(.+)', r'layers.\1.ffn.\2.\3'),
    (_HF_LAYER + r'mlp\.down_proj\.(.+)', r'layers.\1.ffn.linear2.\2'),
    (_HF_LAYER + r'final_layer_norm\.(.+)', r'layers.\1.norm3.\2'),
    *_layers(r'model\.decoder\.query_pos_head', 'position_head.'),
    *_layers(r'model\.decoder\.pre_bbox_head', 'first_box_head.'),
    *_layers(r'model\.decoder\.lqe_layers\.(\d+)\.reg_conf', r'quality_heads.\1.mlp.'),
    # Twice there.
    (r'(?:model\.decoder\.)?class_embed\.(\d+)\.(.+)', r'class_heads.\1.\2'),
    *_layers(r'(?:model\.decoder\.)?bbox_embed\.(\d+)', r'edge_heads.\1.'),
)
_BLOCK = r'encoder\.(fpn|pan)_blocks\.(\d+)\.'
_ATTENTION = r'encoder\.encoder\.0\.layers\.0\.'
_LAYER = r'decoder\.decoder\.layers\.(\d+)\.'
_AUTHORS: tuple[Rule, ...] = (
    (r'backbone\.sta\.stem\.0\.(.+)', r'levels.stem.0.conv.\1'),
    (r'backbone\.sta\.stem\.1\.(.+)', r'levels.stem.0.norm.\1'),
    *((rf'backbone\.sta\.conv{index + 2}\.{place + min(index, 1)}\.(.+)', rf'levels.side.{index}.{part}.\1')
      for index in range(3) for place, part in enumerate(('conv', 'norm'))),
    (r'backbone\.convs\.(\d+)\.(.+)', r'levels.fuse.\1.conv.\2'),
    (r'backbone\.norms\.(\d+)\.(.+)', r'levels.fuse.\1.norm.\2'),
    (r'encoder\.input_proj\.(\d+)\.(.+)', r'levels.fuse.\1.\2'),
    (_ATTENTION + r'self_attn\.(.+)', r'encoder.layer.self_attn.attn.\1'),
    (_ATTENTION + r'linear1\.(.+)', r'encoder.layer.ffn.0.\1'),
    (_ATTENTION + r'linear2\.(.+)', r'encoder.layer.ffn.2.\1'),
    (_ATTENTION + r'norm1\.(.+)', r'encoder.layer.self_attn.norm.\1'),
    (_ATTENTION + r'norm2\.(.+)', r'encoder.layer.norm.\1'),
    (r'encoder\.lateral_convs\.(\d+)\.(.+)', r'encoder.lateral.\1.\2'),
    *((rf'encoder\.downsample_convs\.(\d+)\.0\.cv{index + 1}\.(.+)', rf'encoder.down.\1.{index}.\2')
      for index in range(2)),
    *((rule.replace('(fpn|pan)', direction).replace(r'\2', r'\1'), new)
      for direction, ours in (('fpn', 'up'), ('pan', 'down'))
      for rule, new in (
          (_BLOCK + r'cv1\.(.+)', rf'encoder.{ours}_blocks.\1.split.\2'),
          (_BLOCK + r'cv4\.(.+)', rf'encoder.{ours}_blocks.\1.join.\2'),
          *((_BLOCK + rf'cv{index + 2}\.{rest}', rf'encoder.{ours}_blocks.\1.branches.{index}.{target}')
            for index in range(2) for rest, target in (
                (r'0\.(conv\d)\.(.+)', r'0.\2.\3'), (r'0\.bottlenecks\.(\d+)\.conv1\.(.+)', r'0.blocks.\2.wide.\3'),
                (r'0\.bottlenecks\.(\d+)\.conv2\.(.+)', r'0.blocks.\2.narrow.\3'), (r'1\.(.+)', r'1.\2'))))),
    (r'decoder\.input_proj\.(\d+)\.(.+)', r'memory_projections.\1.\2'),
    (r'decoder\.denoising_class_embed\.weight', 'noise_embed.weight'),
    (r'decoder\.enc_output\.proj\.(.+)', r'proposals.features.0.\1'),
    (r'decoder\.enc_output\.norm\.(.+)', r'proposals.features.1.\1'),
    (r'decoder\.enc_score_head\.(.+)', r'proposals.class_head.\1'),
    *_layers(r'decoder\.enc_bbox_head', 'proposals.box_head.'),
    (r'decoder\.(?:decoder\.)?reg_scale', 'bin_scale'),
    (r'decoder\.(?:decoder\.)?up', 'bin_bound'),
    (r'decoder\.(anchors|valid_mask)', None),
    (_LAYER + r'cross_attn\.num_points_scale', None),
    (_LAYER + r'((?:self|cross)_attn\..+)', r'layers.\1.\2'),
    (_LAYER + r'norm(\d)\.(?:scale|weight)', r'layers.\1.norm\2.weight'),
    (_LAYER + r'norm(\d)\.bias', r'layers.\1.norm\2.bias'),
    (_LAYER + r'gateway\.gate\.(.+)', r'layers.\1.gate.\2'),
    (_LAYER + r'gateway\.norm\.(?:scale|weight)', r'layers.\1.norm2.weight'),
    (_LAYER + r'gateway\.norm\.bias', r'layers.\1.norm2.bias'),
    (_LAYER + r'swish_ffn\.w12\.(.+)', r'layers.\1.ffn.linear1.\2'),
    (_LAYER + r'swish_ffn\.w3\.(.+)', r'layers.\1.ffn.linear2.\2'),
    (_LAYER + r'linear1\.(.+)', r'layers.\1.ffn.0.\2'),
    (_LAYER + r'linear2\.(.+)', r'layers.\1.ffn.2.\2'),
    *_layers(r'decoder\.query_pos_head', 'position_head.'),
    *_layers(r'decoder\.pre_bbox_head', 'first_box_head.'),
    *_layers(r'decoder\.decoder\.lqe_layers\.(\d+)\.reg_conf', r'quality_heads.\1.mlp.'),
    (r'decoder\.dec_score_head\.(\d+)\.(.+)', r'class_heads.\1.\2'),
    *_layers(r'decoder\.dec_bbox_head\.(\d+)', r'edge_heads.\1.'),
)
_VIT_TINY = 'backbone.dinov3._model.'  # the authors' own ViT, of S and M


class Naming(NamedTuple):
    """A code base's names.

    Attributes:
        label: What reports call it.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        trunks: What may stand before the names of the backbone, the first that is there.
        rules: Names of everything else to ours.
    """
    label: str
    anchors: tuple[str, ...]
    trunks: tuple[str, ...]
    rules: tuple[Rule, ...]


_NAMINGS = (
    Naming("transformers' DEIMv2 or D-FINE", ('model.decoder.pre_bbox_head.layers.0.weight',
                                              'model.enc_score_head.weight'),
           ('model.conv_encoder.backbone.', 'model.conv_encoder.model.', 'model.backbone.model.'), _HF),
    Naming("the authors' DEIMv2 or D-FINE", ('decoder.pre_bbox_head.layers.0.weight',
                                             'decoder.dec_score_head.0.weight'),
           (_VIT_TINY, 'backbone.dinov3.', 'backbone.'), _AUTHORS),
)


@reads(DEIM)
def read_deim(state: State, module: DEIM) -> Translated | None:
    """Recognise a checkpoint of DEIMv2 or D-FINE by its authors or by transformers."""
    for naming in _NAMINGS:
        prefix = common_prefix(state, naming.anchors)
        if prefix is None:
            continue
        inside, outside = split_prefix(state, prefix)
        start = next((trunk for trunk in naming.trunks if any(name.startswith(trunk) for name in inside)),
                     naming.trunks[0])
        trunk, others = split_prefix(inside, start)
        if start == _VIT_TINY:
            trunk = _with_layer_scales(trunk, module)
        head, unneeded = rename({name: inside[name] for name in others}, naming.rules)
        head = _joined_splits(fuse(split_attention(head), ('gate_proj', 'up_proj'), 'linear1'))
        return read_around(HeadAndBackbone(naming.label, head, trunk, [*outside, *unneeded]), module)
    return None


def _with_layer_scales(trunk: State, module: DEIM) -> State:
    """timm's DINOv3 scales what its layers add, and the authors' small ones do not: scales of one."""
    scales = {name: tensor for name, tensor in module.backbone.trunk.state_dict().items()
              if re.fullmatch(r'blocks\.\d+\.gamma_\d', name)}
    return {**{name: torch.ones_like(tensor) for name, tensor in scales.items()}, **trunk}


def _joined_splits(head: State) -> State:
    """Both code bases call the first layers of a branch, one or two, and what follows it by similar names.

    D-FINE's two layers are the halves of ours; a ``conv2`` of another kernel is the branch's last convolution, and that
    of DEIMv2's block joins all.
    """
    result = dict(head)
    for name in head:
        match = re.fullmatch(r'(encoder\.\w+_blocks\.\d+\.branches\.\d\.)0\.conv1\.(.+)', name)
        if match is None:
            continue
        start, rest = match[1], match[2]
        first, other = result.pop(name), result.pop(f'{start}0.conv2.{rest}', None)
        weight = head.get(f'{start}0.conv2.conv.weight')
        if other is not None and weight.shape[-1] > 1:
            result[f'{start}1.{rest}'] = other
            other = None
        is_one = other is None or not first.ndim  # num_batches_tracked
        result[f'{start}0.split.{rest}'] = first if is_one else torch.cat((other, first))
    for name in [name for name in result if re.fullmatch(r'model\.encoder\.\w+_blocks\.\d+\.conv2\..+', name)]:
        direction, index, rest = re.fullmatch(r'model\.encoder\.(\w+)_blocks\.(\d+)\.conv2\.(.+)', name).groups()
        block = f'encoder.{dict(fpn="up", pan="down")[direction]}_blocks.{index}.'
        place = 'branches.0.1.' if f'{block}join.conv.weight' in head else 'join.'
        result[f'{block}{place}{rest}'] = result.pop(name)
    return result

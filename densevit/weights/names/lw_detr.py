"""Names of LW-DETR's and RF-DETR's checkpoints, mapped to those of :class:`densevit.networks.detection.LWDETR`.

Known are the authors' (github.com/Atten4Vis/LW-DETR, github.com/roboflow/rf-detr) and transformers'.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import torch

from ...networks.detection import LWDETR
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, fuse, rename, split_prefix
from ..translate import HeadAndBackbone, Translated, read_around, reads
from .queries import split_attention

# What the 80 classes of COCO's files are called there, in their order.
COCO_IDS = tuple(sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))


def _mlp(theirs: str, ours: str, layers: int) -> tuple[Rule, ...]:
    return tuple((rf'{theirs}\.layers\.{index}\.(weight|bias)', rf'{ours}.{2 * index}.\g<{_groups(theirs) + 1}>')
                 for index in range(layers))


def _groups(pattern: str) -> int:
    return re.compile(pattern).groups


def _heads(proposals: str) -> tuple[Rule, ...]:
    """What both code bases call alike; ``proposals`` stands before the names of the first stage."""
    return (
        (rf'{proposals}enc_output\.(\d+)\.(.+)', r'proposals.\1.linear.\2'),
        (rf'{proposals}enc_output_norm\.(\d+)\.(.+)', r'proposals.\1.norm.\2'),
        (rf'{proposals}enc_out_class_embed\.(\d+)\.(.+)', r'proposals.\1.class_head.\2'),
        *_mlp(rf'{proposals}enc_out_bbox_embed\.(\d+)', r'proposals.\1.box_head', 3),
        *_mlp(rf'{proposals}decoder\.ref_point_head', 'position_head', 2),
        (r'class_embed\.(.+)', r'class_head.\1'),
        *_mlp('bbox_embed', 'box_head', 3),
        (r'(?:model\.)?query_feat\.weight', 'query_embed.weight'),
    )


def _masks(names: dict[str, str]) -> tuple[Rule, ...]:
    """Names of RF-DETR-Seg's mask head to ours."""
    return tuple((rf'{theirs}\.(weight|bias)', rf'mask_head.{ours}.\g<{_groups(theirs) + 1}>')
                 for theirs, ours in names.items())


_HF_LEVEL = r'model\.backbone\.projector\.scale_layers\.(\d+)\.'
_RF_LEVEL = r'model\.backbone\.projector\.'
_HF_LAYER = r'model\.decoder\.layers\.(\d+)\.'
_HF: tuple[Rule, ...] = (
    *_heads(r'model\.'),
    (r'model\.reference_point_embed\.weight', 'query_delta.weight'),
    (r'model\.decoder\.layernorm\.(.+)', r'norm.\1'),
    (_HF_LEVEL + r'sampling_layers\.(\d+)\.layers\.(.+)', r'projector.\1.resample.\2.\3'),
    *((level + theirs, rf'projector.{number}.{ours}.{rest}')
      for level, number, rest in ((_HF_LEVEL, r'\1', r'\2'), (_RF_LEVEL, '0', r'\1'))
      for theirs, ours in ((r'projector_layer\.conv1\.(.+)', 'fuse.split'),
                           (r'projector_layer\.conv2\.(.+)', 'fuse.join'), (r'layer_norm\.(.+)', 'norm'))),
    *((level + rf'projector_layer\.bottlenecks\.(\d+)\.conv{index + 1}\.(.+)',
       rf'projector.{number}.fuse.blocks.{block}.{index}.{rest}')
      for level, number, block, rest in ((_HF_LEVEL, r'\1', r'\2', r'\3'), (_RF_LEVEL, '0', r'\1', r'\2'))
      for index in range(2)),
    (_HF_LAYER + r'self_attn\.o_proj\.(.+)', r'layers.\1.self_attn.attn.out_proj.\2'),
    (_HF_LAYER + r'self_attn\.([qkv]_proj\..+)', r'layers.\1.self_attn.attn.\2'),
    (_HF_LAYER + r'self_attn_layer_norm\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (_HF_LAYER + r'(cross_attn\..+)', r'layers.\1.\2'),
    (_HF_LAYER + r'cross_attn_layer_norm\.(.+)', r'layers.\1.norm.\2'),
    (_HF_LAYER + r'mlp\.fc(\d\..+)', r'layers.\1.ffn.linear\2'),
    (_HF_LAYER + r'layer_norm\.(.+)', r'layers.\1.ffn.norm.\2'),
    *_masks({
        r'blocks\.(\d+)\.depthwise_conv': r'blocks.\1.conv', r'blocks\.(\d+)\.layernorm': r'blocks.\1.norm',
        r'blocks\.(\d+)\.pointwise_conv': r'blocks.\1.linear', 'spatial_features_proj': 'features',
        r'query_features_block\.norm': 'norm', r'query_features_block\.mlp\.fc1': 'mlp.0',
        r'query_features_block\.mlp\.fc2': 'mlp.2', 'query_features_proj': 'queries'}),
    ('segmentation_bias', 'mask_head.bias'),
)
_HF_BLOCK = r'encoder\.layer\.(\d+)\.'
_HF_ENCODER: tuple[Rule, ...] = (
    (r'embeddings\.position_embeddings', 'pos_embed'),
    (r'embeddings\.projection\.(.+)', r'patch_embed.proj.\1'),
    (_HF_BLOCK + r'gamma_(\d)', r'blocks.\1.ls\2.gamma'),
    (_HF_BLOCK + r'attention\.([qkv])_proj\.(.+)', r'blocks.\1.attn.\2.\3'),
    (_HF_BLOCK + r'attention\.o_proj\.(.+)', r'blocks.\1.attn.proj.\2'),
    (_HF_BLOCK + r'intermediate\.(.+)', r'blocks.\1.mlp.\2'),
    (_HF_BLOCK + r'layernorm_before\.(.+)', r'blocks.\1.norm1.\2'),
    (_HF_BLOCK + r'layernorm_after\.(.+)', r'blocks.\1.norm2.\2'),
)
_AUTHORS_LEVEL = r'backbone\.0\.projector\.stages\.(\d+)\.'
_AUTHORS_LAYER = r'transformer\.decoder\.layers\.(\d+)\.'
_AUTHORS: tuple[Rule, ...] = (
    *_heads(r'transformer\.'),
    (r'refpoint_embed\.weight', 'query_delta.weight'),
    (r'transformer\.decoder\.norm\.(.+)', r'norm.\1'),
    (r'backbone\.0\.projector\.stages_sampling\.(\d+)\.(\d+)\.(\d+)\.bn\.(.+)', r'projector.\1.resample.\2.\3.norm.\4'),
    (r'backbone\.0\.projector\.stages_sampling\.(\d+)\.(\d+)\.(.+)', r'projector.\1.resample.\2.\3'),
    *((_AUTHORS_LEVEL + rf'0\.{theirs}\.{part}\.(.+)', rf'projector.\1.fuse.{ours}.{new}.\g<{last}>')
      for theirs, ours, last in (('cv1', 'split', 2), ('cv2', 'join', 2), (r'm\.(\d+)\.cv1', r'blocks.\2.0', 3),
                                 (r'm\.(\d+)\.cv2', r'blocks.\2.1', 3))
      for part, new in (('conv', 'conv'), ('bn', 'norm'))),
    (_AUTHORS_LEVEL + r'1\.(.+)', r'projector.\1.norm.\2'),
    (_AUTHORS_LAYER + r'self_attn\.(.+)', r'layers.\1.self_attn.attn.\2'),
    (_AUTHORS_LAYER + r'norm1\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (_AUTHORS_LAYER + r'(cross_attn\..+)', r'layers.\1.\2'),
    (_AUTHORS_LAYER + r'norm2\.(.+)', r'layers.\1.norm.\2'),
    (_AUTHORS_LAYER + r'(linear\d\..+)', r'layers.\1.ffn.\2'),
    (_AUTHORS_LAYER + r'norm3\.(.+)', r'layers.\1.ffn.norm.\2'),
    *_masks({
        r'segmentation_head\.blocks\.(\d+)\.dwconv': r'blocks.\1.conv',
        r'segmentation_head\.blocks\.(\d+)\.norm': r'blocks.\1.norm',
        r'segmentation_head\.blocks\.(\d+)\.pwconv1': r'blocks.\1.linear',
        r'segmentation_head\.spatial_features_proj': 'features',
        r'segmentation_head\.query_features_block\.norm_in': 'norm',
        r'segmentation_head\.query_features_block\.layers\.(\d)': r'mlp.\1',
        r'segmentation_head\.query_features_proj': 'queries'}),
    (r'segmentation_head\.bias', 'mask_head.bias'),
    ('_kp_active_mask', None),  # which keypoints each class has; of a network without keypoints there are none
)
_AUTHORS_ENCODER: tuple[Rule, ...] = (
    (r'blocks\.(\d+)\.gamma_(\d)', r'blocks.\1.ls\2.gamma'),
    (r'blocks\.(\d+)\.attn\.([qv])_bias', r'blocks.\1.attn.\2.bias'),
)


class Naming(NamedTuple):
    """A code base's names.

    Attributes:
        label: What reports call it.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        trunk: What stands before the names of the ViT.
        rules: Names of everything else to ours.
        convert: The ViT's tensors to names that its own reader knows.
    """
    label: str
    anchors: tuple[str, ...]
    trunk: str
    rules: tuple[Rule, ...]
    convert: Callable[[State], State]


@reads(LWDETR)
def read_lw_detr(state: State, module: LWDETR) -> Translated | None:
    """Recognise a checkpoint of LW-DETR or RF-DETR by its authors or by transformers.

    Raises:
        WeightsError: It is RF-DETR XL or 2XL, whose licence is not open.
    """
    for naming in _NAMINGS:
        prefix = common_prefix(state, naming.anchors)
        if prefix is None:
            continue
        if prefix == 'model.' and 'segmentation_bias' in state:  # the detector within transformers' RF-DETR-Seg
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            prefix = ''
        inside, outside = split_prefix(state, prefix)
        trunk, others = split_prefix(inside, naming.trunk)
        _refuse_closed_weights(trunk, others)
        head, unneeded = rename({name: inside[name] for name in others}, naming.rules)
        head = _own_classes(split_attention(head), module.num_classes)
        return read_around(
            HeadAndBackbone(naming.label, head, naming.convert(trunk), [*outside, *unneeded]), module)
    return None


def _refuse_closed_weights(trunk: State, others: list[str]) -> None:
    """RF-DETR XL and 2XL are known by patches of 20 pixels, and those with masks by six layers of the decoder."""
    patches = trunk.get('embeddings.patch_embeddings.projection.weight')  # of DINOv2, not of LW-DETR's ViT
    if patches is not None and (patches.shape[-1] == 20 or any('decoder.layers.5.' in name for name in others)):
        raise WeightsError('it is RF-DETR XL or 2XL, whose weights are under PML-1.0, which is no open licence: take '
                           'N, S, M or L, which are under Apache-2.0')


def _own_classes(head: State, num_classes: int) -> State:
    """COCO's 80 classes of the 91 ids of its files, which the authors' heads have as they are."""
    if num_classes != len(COCO_IDS) or len(head['class_head.weight']) != COCO_IDS[-1] + 1:
        return head
    ids = torch.tensor(COCO_IDS)
    return {name: tensor[ids] if 'class_head.' in name else tensor for name, tensor in head.items()}


def _cae_of_transformers(trunk: State) -> State:
    trunk, _ = rename(trunk, _HF_ENCODER)
    return _without_class_token(fuse(_with_key_biases(trunk), ('q', 'k', 'v'), 'qkv'))


def _cae_of_authors(trunk: State) -> State:
    trunk, _ = rename(trunk, _AUTHORS_ENCODER)
    trunk = _with_key_biases(trunk)
    biases = {name: tensor for name, tensor in trunk.items() if re.fullmatch(r'blocks\.\d+\.attn\.[qkv]\.bias', name)}
    weights = {name: tensor for name, tensor in trunk.items() if name not in biases}
    return _without_class_token({**weights, **fuse(biases, ('q', 'k', 'v'), 'qkv')})


def _with_key_biases(trunk: State) -> State:
    """CAE v2's keys have no bias, which softmax would not see."""
    zeros = {name.replace('.q.', '.k.'): torch.zeros_like(tensor) for name, tensor in trunk.items()
             if name.endswith('.attn.q.bias')}
    return {**trunk, **zeros}


def _without_class_token(trunk: State) -> State:
    """Positions of the patches alone: the class token was left behind in pre-training."""
    return {**trunk, 'pos_embed': trunk['pos_embed'][:, 1:]}


_NAMINGS = (
    Naming("transformers' LW-DETR", ('model.backbone.backbone.embeddings.projection.weight',
                                     'model.enc_output.0.weight'), 'model.backbone.backbone.', _HF,
           _cae_of_transformers),
    Naming("transformers' RF-DETR", ('model.backbone.backbone.embeddings.cls_token', 'model.enc_output.0.weight'),
           'model.backbone.backbone.', _HF, dict),
    Naming("the authors' LW-DETR", ('backbone.0.encoder.patch_embed.proj.weight', 'transformer.enc_output.0.weight'),
           'backbone.0.encoder.', _AUTHORS, _cae_of_authors),
    Naming("Roboflow's RF-DETR", ('backbone.0.encoder.encoder.embeddings.cls_token',
                                  'transformer.enc_output.0.weight'), 'backbone.0.encoder.encoder.', _AUTHORS, dict),
)

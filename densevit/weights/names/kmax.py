"""Names of kMaX-DeepLab's PyTorch code (github.com/bytedance/kmax-deeplab), mapped to those of
:class:`densevit.networks.segmentation.KMaXDeepLab`.
"""
from __future__ import annotations

from torch import Tensor

from ...networks.segmentation import KMaXDeepLab
from ...networks.segmentation.kmax.decoder import no_object_bias
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, reads_head
from .detectron2_resnet import from_detectron2_resnet

_LABEL = "the authors' kMaX-DeepLab"
_HEAD, _BACKBONE = 'sem_seg_head.', 'backbone.'
_ANCHORS = ('sem_seg_head.pixel_decoder._in_norms.0.weight', 'sem_seg_head.predictor._cluster_centers.weight')
# Their batch norms add 1e-3 to the variance in a ResNet, timm's 1e-5.
_EPS_DIFFERENCE = 1e-3 - 1e-5
_BLOCK = r'pixel_decoder\._stages\.(\d)\._blocks\.(\d+)\.'
_OUR_BLOCK = r'pixel_decoder.stages.\1.\2.'
_LAYER = r'predictor\._kmax_transformer_layers\.(\d+)\.'
_SEMANTIC = r'predictor\._auxiliary_semantic_predictor\.'


def _axis(theirs: str, ours: str) -> tuple[Rule, ...]:
    old, new = rf'{_BLOCK}_attention\._{theirs}_axis\.', rf'{_OUR_BLOCK}middle.0.{ours}.'
    return (
        (old + r'qkv_transform\.conv\.(.+)', new + r'qkv.\3'),
        (old + r'_(query|key|value)_rpe\._embeddings\.weight', new + r'\3_positions'),
        (old + r'_batch_norm_(qkv|similarity)\.(.+)', new + r'norm_\3.\4'),
        (old + r'_batch_norm_retrieved_output\.(.+)', new + r'norm_output.\3'),
    )


def _layer(theirs: str, ours: str) -> Rule:
    return rf'{_LAYER}{theirs}\.(.+)', rf'layers.\1.{ours}.\2'


def _predictor(theirs: str, ours: str) -> tuple[Rule, Rule]:
    return ((rf'{_LAYER}_predcitor\.{theirs}\.(.+)', rf'layers.\1.predict.{ours}.\2'),
            (rf'predictor\._predcitor\.{theirs}\.(.+)', rf'predict.{ours}.\1'))


_RULES: tuple[Rule, ...] = (
    (r'pixel_decoder\._in_norms\.(.+)', r'pixel_decoder.norms.\1'),
    (r'pixel_decoder\._resized_fuses\.(\d)\._conv_bn_low\.(.+)', r'pixel_decoder.fuses.\1.coarse.1.\2'),
    (r'pixel_decoder\._resized_fuses\.(\d)\._conv_bn_high\.(.+)', r'pixel_decoder.fuses.\1.fine.1.\2'),
    (_BLOCK + r'_conv1_bn_act\.(.+)', _OUR_BLOCK + r'reduce.\3'),
    (_BLOCK + r'_conv2_bn_act\.(.+)', _OUR_BLOCK + r'middle.\3'),
    (_BLOCK + r'_conv3_bn\.(.+)', _OUR_BLOCK + r'expand.\3'),
    (_BLOCK + r'_shortcut\.(.+)', _OUR_BLOCK + r'shortcut.\3'),
    *_axis('height', 'columns'),
    *_axis('width', 'rows'),
    *_predictor('_pixel_space_head_conv0bnact', 'pixel_head.0'),
    *_predictor('_pixel_space_head_conv1bnact', 'pixel_head.1'),
    *_predictor('_pixel_space_head_last_convbn', 'pixel_head.2'),
    *_predictor('_transformer_mask_head', 'mask_head'),
    *_predictor(r'_transformer_class_head\.conv', 'class_head'),
    *_predictor('_pixel_space_mask_batch_norm', 'norm'),
    _layer('_query_conv1_bn_act', 'queries'),
    _layer('_pixel_conv1_bn_act', 'pixels'),
    _layer('_query_qkv_conv_bn', 'attention.qkv'),
    _layer(r'_query_self_attention\._batch_norm_similarity', 'attention.norm_similarity'),
    _layer(r'_query_self_attention\._batch_norm_retrieved_value', 'attention.norm_output'),
    _layer('_query_conv3_bn', 'attention.project'),
    _layer('_pixel_v_conv_bn', 'kmeans.value'),
    _layer('_kmeans_query_batch_norm_retrieved_value', 'kmeans.norm'),
    _layer('_kmeans_query_conv3_bn', 'kmeans.project'),
    _layer('_query_ffn_conv1_bn_act', 'ffn.0'),
    _layer('_query_ffn_conv2_bn', 'ffn.1'),
    (r'predictor\._cluster_centers\.weight', 'centers'),
    (r'predictor\._(class|mask)_embedding_projection\.(.+)', r'\1_queries.\2'),
    (_SEMANTIC + r'_aspp\._aspp_conv(\d)\.(.+)', r'semantic_decoder.aspp.branches.\1.\2'),
    (_SEMANTIC + r'_aspp\._aspp_pool\.(.+)', r'semantic_decoder.aspp.pool.\1'),
    (_SEMANTIC + r'_aspp\._proj_conv_bn_act\.(.+)', r'semantic_decoder.aspp.project.0.\1'),
    *(rule for index, stride in enumerate((8, 4)) for rule in (
        (rf'{_SEMANTIC}_low_level_projection_os{stride}\.(.+)', rf'semantic_decoder.lateral.{index}.\1'),
        (rf'{_SEMANTIC}_low_level_fusion_os{stride}_conv(\d)_bn_act\.(.+)', rf'semantic_decoder.merge.{index}.\1.\2'))),
    (_SEMANTIC + r'conv_block_(\d)\.(.+)', r'semantic_decoder.head.\1.\2'),
    (_SEMANTIC + r'final_conv\.conv\.(.+)', r'semantic_decoder.head.2.\1'),
)


@reads_head(KMaXDeepLab)
def read_kmax(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint of kMaX-DeepLab's authors.

    What their code adds to the logits of "no object" becomes part of the bias here.
    """
    prefix = common_prefix(state, _ANCHORS)
    if prefix is None:
        return None
    inside, left = split_prefix(state, prefix)
    head, others = split_prefix(inside, _HEAD)
    backbone, others = split_prefix({name: inside[name] for name in others}, _BACKBONE)
    renamed, _ = rename(head, _RULES)
    renamed = {name: _with_prior(name, tensor) for name, tensor in renamed.items()}
    return HeadAndBackbone(_LABEL, renamed, _backbone(backbone), [*left, *others])


def _with_prior(name: str, tensor: Tensor) -> Tensor:
    if not name.endswith('class_head.bias'):
        return tensor
    tensor = tensor.clone()
    tensor[-1] += no_object_bias(len(tensor) - 1)
    return tensor


def _backbone(state: State) -> State:
    renamed = from_detectron2_resnet(state)
    if renamed is state:
        return state
    return {name: tensor + _EPS_DIFFERENCE if name.endswith('running_var') else tensor
            for name, tensor in renamed.items()}

"""Names of Mask2Former checkpoints, mapped to those of :class:`densevit.networks.segmentation.Mask2FormerNet`.

Known are the authors' (github.com/facebookresearch/Mask2Former, detectron2), transformers' and OpenMMLab's
(mmdetection's ``panoptic_head``, mmsegmentation's ``decode_head``).
"""
from __future__ import annotations

from ...networks.segmentation import Mask2FormerNet
from ..reading import State
from ..renaming import Rule
from ..translate import HeadAndBackbone, reads_head
from .queries import QueryNaming, read_queries

_ENCODER = r'pixel_decoder.layers.\1.'

_AUTHORS: tuple[Rule, ...] = (
    (r'(pixel_decoder\.input_proj\..+)', r'\1'),
    (r'pixel_decoder\.transformer\.level_embed', r'pixel_decoder.level_embed'),
    (r'pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.self_attn\.(.+)', _ENCODER + r'attn.\2'),
    (r'pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.norm1\.(.+)', _ENCODER + r'norm.\2'),
    (r'pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.norm2\.(.+)', _ENCODER + r'ffn.norm.\2'),
    (r'pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.(linear[12]\..+)', _ENCODER + r'ffn.\2'),
    (r'pixel_decoder\.adapter_1\.(weight)', r'pixel_decoder.lateral.0.\1'),
    (r'pixel_decoder\.adapter_1\.norm\.(.+)', r'pixel_decoder.lateral.1.\1'),
    (r'pixel_decoder\.layer_1\.(weight)', r'pixel_decoder.output.0.\1'),
    (r'pixel_decoder\.layer_1\.norm\.(.+)', r'pixel_decoder.output.1.\1'),
    (r'predictor\.transformer_self_attention_layers\.(\d+)\.self_attn\.(.+)', r'layers.\1.self_attn.attn.\2'),
    (r'predictor\.transformer_self_attention_layers\.(\d+)\.(norm\..+)', r'layers.\1.self_attn.\2'),
    (r'predictor\.transformer_cross_attention_layers\.(\d+)\.multihead_attn\.(.+)', r'layers.\1.cross_attn.attn.\2'),
    (r'predictor\.transformer_cross_attention_layers\.(\d+)\.(norm\..+)', r'layers.\1.cross_attn.\2'),
    (r'predictor\.transformer_ffn_layers\.(.+?)\.(.+)', r'layers.\1.ffn.\2'),
    (r'predictor\.decoder_norm\.(.+)', r'norm.\1'),
    (r'predictor\.(?:query_feat|static_query)\.weight', r'query.weight'),
    (r'predictor\.query_embed\.weight', r'query_pos.weight'),
    (r'predictor\.(level_embed\.weight)', r'\1'),
    (r'predictor\.class_embed\.(.+)', r'class_head.\1'),
    (r'predictor\.mask_embed\.layers\.0\.(.+)', r'mask_head.0.\1'),
    (r'predictor\.mask_embed\.layers\.1\.(.+)', r'mask_head.2.\1'),
    (r'predictor\.mask_embed\.layers\.2\.(.+)', r'mask_head.4.\1'),
)
_HF_PIXELS = r'model\.pixel_level_module\.decoder\.'
_HF_DECODER = r'model\.transformer_module\.decoder\.'
_HF: tuple[Rule, ...] = (
    (_HF_PIXELS + r'input_projections\.(.+)', r'pixel_decoder.input_proj.\1'),
    (_HF_PIXELS + r'level_embed', r'pixel_decoder.level_embed'),
    (_HF_PIXELS + r'encoder\.layers\.(\d+)\.self_attn\.(.+)', _ENCODER + r'attn.\2'),
    (_HF_PIXELS + r'encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.+)', _ENCODER + r'norm.\2'),
    (_HF_PIXELS + r'encoder\.layers\.(\d+)\.final_layer_norm\.(.+)', _ENCODER + r'ffn.norm.\2'),
    (_HF_PIXELS + r'encoder\.layers\.(\d+)\.fc([12])\.(.+)', _ENCODER + r'ffn.linear\2.\3'),
    (_HF_PIXELS + r'adapter_1\.(.+)', r'pixel_decoder.lateral.\1'),
    (_HF_PIXELS + r'layer_1\.(.+)', r'pixel_decoder.output.\1'),
    (_HF_PIXELS + r'mask_projection\.(.+)', r'pixel_decoder.mask_features.\1'),
    (_HF_DECODER + r'layers\.(\d+)\.(self|cross)_attn\.(.+)', r'layers.\1.\2_attn.attn.\3'),
    (_HF_DECODER + r'layers\.(\d+)\.(self|cross)_attn_layer_norm\.(.+)', r'layers.\1.\2_attn.norm.\3'),
    (_HF_DECODER + r'layers\.(\d+)\.final_layer_norm\.(.+)', r'layers.\1.ffn.norm.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.fc([12])\.(.+)', r'layers.\1.ffn.linear\2.\3'),
    (_HF_DECODER + r'layernorm\.(.+)', r'norm.\1'),
    (_HF_DECODER + r'mask_predictor\.mask_embedder\.0\.0\.(.+)', r'mask_head.0.\1'),
    (_HF_DECODER + r'mask_predictor\.mask_embedder\.1\.0\.(.+)', r'mask_head.2.\1'),
    (_HF_DECODER + r'mask_predictor\.mask_embedder\.2\.0\.(.+)', r'mask_head.4.\1'),
    (r'model\.transformer_module\.queries_features\.weight', r'query.weight'),
    (r'model\.transformer_module\.queries_embedder\.weight', r'query_pos.weight'),
    (r'model\.transformer_module\.(level_embed\.weight)', r'\1'),
    (r'class_predictor\.(.+)', r'class_head.\1'),
    (r'criterion\..+', None),
)
_MM: tuple[Rule, ...] = (
    (r'pixel_decoder\.input_convs\.(\d)\.conv\.(.+)', r'pixel_decoder.input_proj.\1.0.\2'),
    (r'pixel_decoder\.input_convs\.(\d)\.gn\.(.+)', r'pixel_decoder.input_proj.\1.1.\2'),
    (r'pixel_decoder\.level_encoding\.weight', r'pixel_decoder.level_embed'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.self_attn\.(.+)', _ENCODER + r'attn.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.norms\.0\.(.+)', _ENCODER + r'norm.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.norms\.1\.(.+)', _ENCODER + r'ffn.norm.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', _ENCODER + r'ffn.linear1.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.ffn\.layers\.1\.(.+)', _ENCODER + r'ffn.linear2.\2'),
    (r'pixel_decoder\.lateral_convs\.0\.conv\.(.+)', r'pixel_decoder.lateral.0.\1'),
    (r'pixel_decoder\.lateral_convs\.0\.gn\.(.+)', r'pixel_decoder.lateral.1.\1'),
    (r'pixel_decoder\.output_convs\.0\.conv\.(.+)', r'pixel_decoder.output.0.\1'),
    (r'pixel_decoder\.output_convs\.0\.gn\.(.+)', r'pixel_decoder.output.1.\1'),
    (r'pixel_decoder\.mask_feature\.(.+)', r'pixel_decoder.mask_features.\1'),
    (r'transformer_decoder\.layers\.(\d+)\.(self|cross)_attn\.attn\.(.+)', r'layers.\1.\2_attn.attn.\3'),
    (r'transformer_decoder\.layers\.(\d+)\.norms\.0\.(.+)', r'layers.\1.cross_attn.norm.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.norms\.1\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.norms\.2\.(.+)', r'layers.\1.ffn.norm.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', r'layers.\1.ffn.linear1.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.ffn\.layers\.1\.(.+)', r'layers.\1.ffn.linear2.\2'),
    (r'transformer_decoder\.post_norm\.(.+)', r'norm.\1'),
    (r'query_feat\.weight', r'query.weight'),
    (r'query_embed\.weight', r'query_pos.weight'),
    (r'cls_embed\.(.+)', r'class_head.\1'),
    (r'mask_embed\.(.+)', r'mask_head.\1'),
    (r'loss_cls\.class_weight', None),
)


@reads_head(Mask2FormerNet)
def read_mask2former(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint of Mask2Former."""
    return read_queries(state, _NAMINGS)


_NAMINGS = (
    QueryNaming(
        "the authors' Mask2Former",
        ('sem_seg_head.predictor.query_feat.weight', 'sem_seg_head.pixel_decoder.transformer.level_embed'),
        'backbone.', 'sem_seg_head.', _AUTHORS),
    QueryNaming(
        "the authors' first Mask2Former",
        ('sem_seg_head.predictor.static_query.weight', 'sem_seg_head.pixel_decoder.transformer.level_embed'),
        'backbone.', 'sem_seg_head.', _AUTHORS),
    QueryNaming(
        'transformers Mask2Former',
        ('model.transformer_module.queries_features.weight', 'model.pixel_level_module.decoder.level_embed'),
        'model.pixel_level_module.encoder.', '', _HF),
    *(QueryNaming(
        f'{package} Mask2Former', (f'{head}.query_feat.weight', f'{head}.pixel_decoder.level_encoding.weight'),
        'backbone.', f'{head}.', _MM)
      for package, head in (('mmdetection', 'panoptic_head'), ('mmsegmentation', 'decode_head'))),
)

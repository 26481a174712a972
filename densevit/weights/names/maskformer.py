"""Names of MaskFormer checkpoints, mapped to those of :class:`densevit.networks.segmentation.MaskFormerNet`.

Known are the authors' (github.com/facebookresearch/MaskFormer, detectron2), transformers' and mmdetection's.
"""
from __future__ import annotations

from ...networks.segmentation import MaskFormerNet
from ..reading import State
from ..renaming import Rule
from ..translate import HeadAndBackbone, reads_head
from .queries import QueryNaming, read_queries

_SINGLE, _STAGES = r'(weight|bias)', range(3)
_ENCODER = r'pixel_decoder.encoder.\1.'


def _authors_fpn() -> tuple[Rule, ...]:
    """Numbered from stride 4 up there, from stride 16 down here; the first release left out ``pixel_decoder.``."""
    rules = []
    for stage in _STAGES:
        for theirs, ours in ((f'adapter_{stage + 1}', f'lateral.{2 - stage}'), (f'layer_{stage + 1}',
                                                                              f'output.{2 - stage}')):
            rules += [(rf'(?:pixel_decoder\.)?{theirs}\.{_SINGLE}', rf'pixel_decoder.{ours}.0.\1'),
                      (rf'(?:pixel_decoder\.)?{theirs}\.norm\.{_SINGLE}', rf'pixel_decoder.{ours}.1.\1')]
    return tuple(rules)


_AUTHORS_ENCODER = r'(?:pixel_decoder\.)?transformer\.encoder\.layers\.(\d+)\.'
_AUTHORS_DECODER = r'predictor\.transformer\.decoder\.'
_AUTHORS: tuple[Rule, ...] = (
    *_authors_fpn(),
    (rf'(?:pixel_decoder\.)?layer_4\.{_SINGLE}', r'pixel_decoder.stem.0.\1'),
    (rf'(?:pixel_decoder\.)?layer_4\.norm\.{_SINGLE}', r'pixel_decoder.stem.1.\1'),
    (r'(?:pixel_decoder\.)?((?:mask_features|input_proj)\..+)', r'pixel_decoder.\1'),
    (_AUTHORS_ENCODER + r'self_attn\.(.+)', _ENCODER + r'self_attn.attn.\2'),
    (_AUTHORS_ENCODER + r'norm1\.(.+)', _ENCODER + r'self_attn.norm.\2'),
    (_AUTHORS_ENCODER + r'norm2\.(.+)', _ENCODER + r'ffn.norm.\2'),
    (_AUTHORS_ENCODER + r'(linear[12]\..+)', _ENCODER + r'ffn.\2'),
    (_AUTHORS_DECODER + r'layers\.(\d+)\.self_attn\.(.+)', r'layers.\1.self_attn.attn.\2'),
    (_AUTHORS_DECODER + r'layers\.(\d+)\.multihead_attn\.(.+)', r'layers.\1.cross_attn.attn.\2'),
    (_AUTHORS_DECODER + r'layers\.(\d+)\.norm1\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (_AUTHORS_DECODER + r'layers\.(\d+)\.norm2\.(.+)', r'layers.\1.cross_attn.norm.\2'),
    (_AUTHORS_DECODER + r'layers\.(\d+)\.norm3\.(.+)', r'layers.\1.ffn.norm.\2'),
    (_AUTHORS_DECODER + r'layers\.(\d+)\.(linear[12]\..+)', r'layers.\1.ffn.\2'),
    (_AUTHORS_DECODER + r'norm\.(.+)', r'norm.\1'),
    (r'predictor\.query_embed\.weight', r'query_pos.weight'),
    (r'predictor\.(input_proj\..+)', r'\1'),
    (r'predictor\.class_embed\.(.+)', r'class_head.\1'),
    *((rf'predictor\.mask_embed\.layers\.{index}\.(.+)', rf'mask_head.{2 * index}.\1') for index in range(3)),
)
_HF_FPN = r'model\.pixel_level_module\.decoder\.fpn\.'
_HF_DECODER = r'model\.transformer_module\.decoder\.'
_HF: tuple[Rule, ...] = (
    (_HF_FPN + r'stem\.(.+)', r'pixel_decoder.stem.\1'),
    (_HF_FPN + r'layers\.(\d)\.proj\.(.+)', r'pixel_decoder.lateral.\1.\2'),
    (_HF_FPN + r'layers\.(\d)\.block\.(.+)', r'pixel_decoder.output.\1.\2'),
    (r'model\.pixel_level_module\.decoder\.mask_projection\.(.+)', r'pixel_decoder.mask_features.\1'),
    (r'model\.transformer_module\.queries_embedder\.weight', r'query_pos.weight'),
    (r'model\.transformer_module\.input_projection\.(.+)', r'input_proj.\1'),
    # Transformers 5 says o_proj where 4 says out_proj, and puts the linear layers into "mlp".
    (_HF_DECODER + r'layers\.(\d+)\.self_attn\.(?:o_proj|out_proj)\.(.+)', r'layers.\1.self_attn.attn.out_proj.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.self_attn\.(.+)', r'layers.\1.self_attn.attn.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.self_attn_layer_norm\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.encoder_attn\.(?:o_proj|out_proj)\.(.+)', r'layers.\1.cross_attn.attn.out_proj.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.encoder_attn\.(.+)', r'layers.\1.cross_attn.attn.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.encoder_attn_layer_norm\.(.+)', r'layers.\1.cross_attn.norm.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.final_layer_norm\.(.+)', r'layers.\1.ffn.norm.\2'),
    (_HF_DECODER + r'layers\.(\d+)\.(?:mlp\.)?fc([12])\.(.+)', r'layers.\1.ffn.linear\2.\3'),
    (_HF_DECODER + r'layernorm\.(.+)', r'norm.\1'),
    (r'class_predictor\.(.+)', r'class_head.\1'),
    *((rf'mask_embedder\.{index}\.0\.(.+)', rf'mask_head.{2 * index}.\1') for index in range(3)),
    (r'criterion\..+', None),
)
_MM_KINDS = (('conv', 0), ('gn', 1))
_MM: tuple[Rule, ...] = (
    *((rf'pixel_decoder\.(lateral|output)_convs\.{stage}\.{kind}\.(.+)', rf'pixel_decoder.\1.{2 - stage}.{index}.\2')
      for stage in _STAGES for kind, index in _MM_KINDS),
    *((rf'pixel_decoder\.(?:last_feat_conv|encoder_out_proj)\.{kind}\.(.+)', rf'pixel_decoder.stem.{index}.\1')
      for kind, index in _MM_KINDS),
    (r'pixel_decoder\.mask_feature\.(.+)', r'pixel_decoder.mask_features.\1'),
    (r'pixel_decoder\.encoder_in_proj\.(.+)', r'pixel_decoder.input_proj.\1'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.self_attn\.attn\.(.+)', _ENCODER + r'self_attn.attn.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.norms\.0\.(.+)', _ENCODER + r'self_attn.norm.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.norms\.1\.(.+)', _ENCODER + r'ffn.norm.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', _ENCODER + r'ffn.linear1.\2'),
    (r'pixel_decoder\.encoder\.layers\.(\d+)\.ffn\.layers\.1\.(.+)', _ENCODER + r'ffn.linear2.\2'),
    (r'decoder_input_proj\.(.+)', r'input_proj.\1'),
    (r'transformer_decoder\.layers\.(\d+)\.(self|cross)_attn\.attn\.(.+)', r'layers.\1.\2_attn.attn.\3'),
    (r'transformer_decoder\.layers\.(\d+)\.norms\.0\.(.+)', r'layers.\1.self_attn.norm.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.norms\.1\.(.+)', r'layers.\1.cross_attn.norm.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.norms\.2\.(.+)', r'layers.\1.ffn.norm.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)', r'layers.\1.ffn.linear1.\2'),
    (r'transformer_decoder\.layers\.(\d+)\.ffn\.layers\.1\.(.+)', r'layers.\1.ffn.linear2.\2'),
    (r'transformer_decoder\.post_norm\.(.+)', r'norm.\1'),
    (r'query_embed\.weight', r'query_pos.weight'),
    (r'cls_embed\.(.+)', r'class_head.\1'),
    (r'mask_embed\.(.+)', r'mask_head.\1'),
    (r'loss_cls\.class_weight', None),
)


@reads_head(MaskFormerNet)
def read_maskformer(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint of MaskFormer."""
    return read_queries(state, _NAMINGS)


_NAMINGS = (
    QueryNaming(
        "the authors' MaskFormer", ('sem_seg_head.predictor.transformer.decoder.norm.weight', ), 'backbone.',
        'sem_seg_head.', _AUTHORS),
    QueryNaming(
        'transformers MaskFormer',
        ('model.transformer_module.queries_embedder.weight', 'model.pixel_level_module.decoder.fpn.stem.0.weight'),
        'model.pixel_level_module.encoder.', '', _HF),
    *(QueryNaming(
        f'{package} MaskFormer', (f'{head}.query_embed.weight', f'{head}.transformer_decoder.post_norm.weight'),
        'backbone.', f'{head}.', _MM)
      for package, head in (('mmdetection', 'panoptic_head'), ('mmsegmentation', 'decode_head'))),
)

"""mmdetection's detectors on our backbones and our deformable attention: what transformers' models predict.

Where the two differ by design, it is said beside what makes them alike.
"""
import re

import pytest
import torch
from official import assert_close
from randomised import randomise
from stock import build, shrink
from test_detectors import with_backbone
from torch import nn

transformers = pytest.importorskip('transformers', reason='needs transformers')

SIZE, SMALLER = (128, 160), (96, 112)  # the second image is padded to the size of the first
NUM_CLASSES, QUERIES = 80, 8
# From mmdetection's names to transformers'.
LAYERS = (
    (r'norms\.0\.', 'self_attn_layer_norm.'), (r'(encoder\.layers\.\d+)\.norms\.1\.', r'\1.final_layer_norm.'),
    (r'norms\.1\.', 'encoder_attn_layer_norm.'), (r'norms\.2\.', 'final_layer_norm.'),
    (r'\bffn\.layers\.0\.0\.', 'mlp.fc1.'), (r'\bffn\.layers\.1\.', 'mlp.fc2.'), (r'self_attn\.attn\.', 'self_attn.'),
    (r'self_attn\.out_proj', 'self_attn.o_proj'), (r'cross_attn\.', 'encoder_attn.'))
DEFORMABLE = (
    *LAYERS, (r'neck\.convs\.(\d)\.conv', r'input_proj.\1.0'), (r'neck\.convs\.(\d)\.gn', r'input_proj.\1.1'),
    (r'neck\.extra_convs\.0\.conv', 'input_proj.3.0'), (r'neck\.extra_convs\.0\.gn', 'input_proj.3.1'),
    (r'memory_trans_fc', 'enc_output'), (r'memory_trans_norm', 'enc_output_norm'), (r'pos_trans_fc', 'pos_trans'),
    (r'bbox_head\.cls_branches', 'decoder.class_embed'),
    *((rf'bbox_head\.reg_branches\.(\d)\.{2 * index}\.', rf'decoder.bbox_embed.\1.layers.{index}.')
      for index in range(3)))
CONDITIONAL = (
    *LAYERS, (r'neck\.convs\.0\.conv', 'input_projection'), (r'query_embedding', 'query_position_embeddings'),
    (r'decoder\.post_norm', 'decoder.layernorm'), (r'_attn\.([qk])(content|pos_sine|pos)_proj', r'_attn.\1_\2_proj'),
    (r'encoder_attn\.out_proj', 'encoder_attn.o_proj'), (r'bbox_head\.fc_cls', 'class_labels_classifier'),
    (r'bbox_head\.reg_ffn\.layers\.0\.0', 'bbox_predictor.layers.0'),
    (r'bbox_head\.reg_ffn\.layers\.1', 'bbox_predictor.layers.1'), (r'bbox_head\.fc_reg', 'bbox_predictor.layers.2'))


class Levels(nn.Module):
    """Our backbone in the place of a ResNet."""

    def __init__(self, backbone):
        super().__init__()
        self.maps = [backbone]  # not a part of theirs

    def forward(self, images, mask):
        return [(x, nn.functional.interpolate(mask[None].float(), size=x.shape[-2:])[0].bool())
                for x in self.maps[0](images)]


def their_options(backbone, **options):
    widths = backbone.out_channels
    resnet = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[*widths[:1] * (4 - len(widths)), *widths], depths=[1] * 4,
        out_indices=list(range(5 - len(widths), 5)))
    return dict(backbone_config=resnet, encoder_layers=2, decoder_layers=2, num_labels=NUM_CLASSES, **options)


def fill(theirs, ours, rules):
    """Give their model our values, all of them, by their names."""
    state = {}
    for name, tensor in ours.state_dict().items():
        if name.startswith('backbone.'):
            continue
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        if 'in_proj_' in name:
            state.update(zip((name.replace('in_proj_', f'{part}_proj.') for part in 'qkv'), tensor.chunk(3),
                             strict=True))
        else:
            state[name] = tensor
    outside = ('class_labels_classifier', 'bbox_predictor')
    state = {name if name.startswith(outside) else f'model.{name}': tensor for name, tensor in state.items()}
    theirs.model.backbone = Levels(ours.backbone)
    result = theirs.eval().load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    return result.missing_keys


@torch.no_grad()
def assert_same_predictions(ours, theirs):
    from mmdet.structures import DetDataSample  # after densevit, which gives mmcv its operators
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, *SIZE, dtype=torch.long)
    for shapes in ((SIZE, SIZE), (SIZE, SMALLER)):
        for one, shape in zip(mask.zero_(), shapes, strict=True):
            one[:shape[0], :shape[1]] = 1
        samples = [DetDataSample(metainfo=dict(img_shape=shape, batch_input_shape=SIZE)) for shape in shapes]
        expected = theirs(images, pixel_mask=mask)
        logits, boxes = ours(images, samples, mode='tensor')
        assert_close([logits[-1], boxes[-1]], [expected.logits, expected.pred_boxes], 1e-4)


def test_deformable_detr(tmp_path):
    """Two stages and refined boxes, on a ViT-Adapter.

    mmdetection's convolutions before the levels have no bias, and its positions of proposals have 256 channels at any
    width of the model.
    """
    ours = randomise(build(shrink(with_backbone('deformable_detr', 'vitadapter_s', tmp_path))))
    theirs = transformers.DeformableDetrForObjectDetection(transformers.DeformableDetrConfig(**their_options(
        ours.backbone, two_stage=True, with_box_refine=True, two_stage_num_proposals=QUERIES)))
    missing = fill(theirs, ours, DEFORMABLE)
    assert all(re.fullmatch(r'model\.input_proj\.\d\.0\.bias|(class|bbox)_embed\..+', name) for name in missing)
    for layer in theirs.model.input_proj:
        layer[0].bias.data.zero_()
    assert_same_predictions(ours, theirs)


def test_conditional_detr(tmp_path):
    """On a HieraDet's last level."""
    ours = randomise(build(shrink(with_backbone('conditional_detr', 'hieradet_s', tmp_path))))
    theirs = transformers.ConditionalDetrForObjectDetection(transformers.ConditionalDetrConfig(**their_options(
        ours.backbone, num_queries=QUERIES)))
    assert not fill(theirs, ours, CONDITIONAL)
    assert_same_predictions(ours, theirs)

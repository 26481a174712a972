"""A neck or head that does not fit one of our backbones is refused, in words of the config that help."""
from __future__ import annotations

import ast
import re
import warnings
from types import SimpleNamespace

import pytest
from mmengine.config import ConfigDict
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import HOOKS
from stock_models import build
from torch import nn

from densevit import check_model

VIT = dict(embed_dim=16, depth=4, num_heads=2, patch_size=16, img_size=64)
PYRAMID = dict(type='densevit.SimpleFeaturePyramid', vit=VIT, out_channels=24)
ADAPTER = dict(type='densevit.ViTAdapter', vit=VIT, num_heads=2, conv_inplane=8)
HIERA_DET = dict(type='densevit.HieraDet', embed_dim=8, num_heads=1, stages=(1, 1, 2, 1), global_att_blocks=(3, ))
SWIN = dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224', embed_dim=8, depths=(1, 1, 2, 1),
            num_heads=(1, 2, 4, 8))
LEVELS = {'backbone': dict(type='densevit.PlainViT', out_indices=(0, 1, 2, 3), **VIT)}
GIVEN = 'densevit.SimpleFeaturePyramid gives 4 maps of (24, 24, 24, 24) channels at strides (4, 8, 16, 32)'
SMALL = {f'roi_head.{key}': 24 for key in (
    'bbox_roi_extractor.out_channels', 'mask_roi_extractor.out_channels', 'bbox_head.in_channels',
    'bbox_head.fc_out_channels', 'mask_head.in_channels', 'mask_head.conv_out_channels')}
CONFIGS = {
    'Mask R-CNN': ('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
                   {'neck.out_channels': 24, 'rpn_head.in_channels': 24, **SMALL}),
    'Cascade': ('mmdet', 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco', {}),
    'RetinaNet': ('mmdet', 'retinanet/retinanet_r50_fpn_1x_coco', {}),
    'DyHead': ('mmdet', 'dyhead/atss_r50_fpn_dyhead_1x_coco', {}),
    'FCOS': ('mmdet', 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco', {}),
    'CondInst': ('mmdet', 'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance', {}),
    'BoxInst': ('mmdet', 'boxinst/boxinst_r50_fpn_ms-90k_coco', {}),
    'DINO': ('mmdet', 'dino/dino-4scale_r50_8xb2-12e_coco', {'encoder.num_layers': 1, 'decoder.num_layers': 1}),
    'YOLOX': ('mmdet', 'yolox/yolox_tiny_8xb8-300e_coco', {}),
    'MaskFormer': ('mmdet', 'maskformer/maskformer_r50_ms-16xb1-75e_coco',
                   {'panoptic_head.transformer_decoder.num_layers': 1}),
    'UPerNet': ('mmseg', 'upernet/upernet_r18_4xb2-40k_cityscapes-512x1024', {}),
    'HRNet FCN': ('mmseg', 'hrnet/fcn_hr18s_4xb2-40k_cityscapes-512x1024', {}),
    'BiSeNet': ('mmseg', 'bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024', {}),
    'Mask2Former': ('mmseg', 'mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024', {
        'decode_head.pixel_decoder.encoder.num_layers': 1, 'decode_head.transformer_decoder.num_layers': 1}),
}


def build_with(name, overrides, backbone=PYRAMID):
    package, config, small = CONFIGS[name]
    pytest.importorskip(package)
    return build(package, config, {'backbone': dict(backbone, _delete_=True), **small, **overrides})


def obeyed(message, name, overrides):
    """The overrides with what a message tells to set."""
    said, told, around = message.rpartition('set model.')[2], dict(overrides), ''
    for key, value in re.findall(r'([\w.]+)=(\[.*?\]|\(.*?\)|-?\d+)', f'model.{said}'):
        part, _, last = key.removeprefix('model.').rpartition('.')
        around = part or around  # `in_index=... and in_channels=...` of one part
        stages = 2 if (name, around) == ('BiSeNet', 'auxiliary_head') else 0
        for prefix in [f'{around}.{index}' for index in range(stages)] or [around]:
            told[f'{prefix}.{last}'] = ast.literal_eval(value)
    return told


def pyramid(**kwargs):
    return dict(PYRAMID, **kwargs)


FOUR = [24, 24, 24, 24]
REFUSED = {
    'channels of FPN': ('Mask R-CNN', {}, PYRAMID,
                        f'{GIVEN}, but FPN expects in_channels [256, 512, 1024, 2048]; set model.neck.in_channels='
                        f'{FOUR}'),
    'the first of two necks': ('DyHead', {}, PYRAMID, f'set model.neck.0.in_channels={FOUR}'),
    'anchors behind two necks': ('DyHead', {'neck.0.in_channels': FOUR, 'neck.0.start_level': 0}, PYRAMID,
                                 'set model.bbox_head.anchor_generator.strides=[4, 8, 16, 32, 64]'),
    'maps of ChannelMapper': ('DINO', {'neck.in_channels': [24, 24, 24]}, PYRAMID,
                              f'ChannelMapper expects in_channels [24, 24, 24]; set model.neck.in_channels={FOUR}'),
    'UPerHead': ('UPerNet', {}, PYRAMID,
                 f'{GIVEN}, but UPerHead expects in_channels [64, 128, 256, 512] of maps [0, 1, 2, 3]; set '
                 f'model.decode_head.in_channels={FOUR}'),
    'an auxiliary head': ('UPerNet', {'decode_head.in_channels': FOUR}, PYRAMID,
                          'FCNHead expects in_channels 256 of maps [2]; set model.auxiliary_head.in_channels=24'),
    'a map too many': ('UPerNet', {'decode_head.in_channels': FOUR}, pyramid(scale_factors=(2., 1., .5)),
                       'UPerHead expects maps [0, 1, 2, 3]; set model.decode_head.in_index=[0, 1, 2] and in_channels='
                       '[24, 24, 24]'),
    'maps that are joined': ('HRNet FCN', {}, PYRAMID,
                             'FCNHead expects 270 channels of maps [0, 1, 2, 3] together; set '
                             f'model.decode_head.in_channels={FOUR}'),
    'one of several auxiliary heads': ('BiSeNet', {'decode_head.in_channels': 24}, PYRAMID,
                                       'set model.auxiliary_head.in_channels=24'),
    'Mask2Former': ('Mask2Former', {}, PYRAMID, 'Mask2FormerHead expects in_channels [256, 512, 1024, 2048]; set '
                                                f'model.decode_head.in_channels={FOUR}'),
    'MaskFormer': ('MaskFormer', {}, PYRAMID, f'set model.panoptic_head.in_channels={FOUR}'),
    'regions without a neck': ('Mask R-CNN', {'neck': None, 'roi_head.bbox_roi_extractor.out_channels': 256},
                               pyramid(top_block=True),
                               'expects bbox_roi_extractor.out_channels 256; set '
                               'model.roi_head.bbox_roi_extractor.out_channels=24'),
    'anchors': ('Mask R-CNN', {'neck.in_channels': FOUR}, pyramid(vit=dict(VIT, patch_size=8)),
                'at strides (2, 4, 8, 16), but RPNHead expects strides [4, 8, 16, 32, 64]; set '
                'model.rpn_head.anchor_generator.strides=[2, 4, 8, 16, 32]'),
    'regions': ('Mask R-CNN', {'neck.in_channels': FOUR, 'rpn_head.anchor_generator.strides': [2, 4, 8, 16, 32]},
                pyramid(vit=dict(VIT, patch_size=8)),
                'StandardRoIHead expects regions of strides [4, 8, 16, 32]; set '
                'model.roi_head.bbox_roi_extractor.featmap_strides=[2, 4, 8, 16]'),
    'regions of a cascade': ('Cascade', {'neck.in_channels': FOUR,
                                         'rpn_head.anchor_generator.strides': [2, 4, 8, 16, 32]},
                             pyramid(vit=dict(VIT, patch_size=8)), 'featmap_strides=[2, 4, 8, 16]'),
    'points': ('FCOS', {'neck.in_channels': FOUR, 'neck.start_level': 0}, PYRAMID,
               'FCOSHead expects strides [8, 16, 32, 64, 128]; set model.bbox_head.strides=[4, 8, 16, 32, 64]'),
    'points of YOLOX': ('YOLOX', {'neck.in_channels': [24, 24, 24]}, pyramid(scale_factors=(4., 2., 1.)),
                           'expects strides [8, 16, 32]; set model.bbox_head.strides=[4, 8, 16]'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_a_mismatch_is_refused_and_the_remedy_helps(case):
    name, overrides, backbone, said = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        check_model(build_with(name, overrides, backbone))
    for _ in range(6):  # one at a time
        message = str(error.value)
        assert '\n' not in message
        overrides = obeyed(message, name, overrides)
        model = build_with(name, overrides, backbone)
        try:
            check_model(model)
            break
        except ValueError as another:
            assert str(another) != message
            error = SimpleNamespace(value=another)
    check_model(model)


def in_silence(model):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        check_model(model)
    assert not caught


@pytest.mark.parametrize('name, overrides, backbone', [
    ('Mask R-CNN', {'neck': None}, pyramid(top_block=True)),  # as ViTDet has it
    # Whose finest map has no parameters of its own, or none that learn.
    ('FCOS', {'neck.in_channels': [8, 16, 32, 64]}, HIERA_DET),
    ('FCOS', {'neck.in_channels': [8, 16, 32, 64]}, SWIN),
    ('FCOS', {'neck.in_channels': [8, 16, 32, 64]}, dict(HIERA_DET, norm_out=True, frozen_stages=1)),
    # A mask head whose points lie on one map of a stride of its own.
    ('CondInst', {'neck.in_channels': [8, 16, 32, 64]}, HIERA_DET),
    ('BoxInst', {'neck.in_channels': [8, 16, 32, 64]}, HIERA_DET),
    # A neck that does not tell what it expects.
    ('UPerNet', {'neck': dict(type='Feature2Pyramid', embed_dim=16, norm_cfg=dict(type='BN'))}, LEVELS['backbone']),
    ('UPerNet', {}, dict(type='ResNetV1c', depth=18, norm_cfg=dict(type='BN'))),  # a backbone of others
])
def test_what_fits_passes_in_silence(name, overrides, backbone):
    in_silence(build_with(name, overrides, backbone))


NO_GRADIENT = 'get no gradient, which DistributedDataParallel refuses: set'
UNREAD = {
    'adapter': ('RetinaNet', ADAPTER, [16] * 4, {},
                f'FPN reads maps 1 to 3 of densevit.ViTAdapter alone; parameters of map 0 {NO_GRADIENT} '
                'model.backbone.out_indices=(1, 2, 3), model.neck.in_channels=[16, 16, 16] and '
                'model.neck.start_level=0'),
    'simple pyramid': ('FCOS', PYRAMID, FOUR, {},
                       'set model.backbone.scale_factors=(2.0, 1.0, 0.5), model.neck.in_channels=[24, 24, 24] and'),
    'top block': ('FCOS', pyramid(top_block=True), [24] * 5, {},
                  'set model.backbone.scale_factors=(2.0, 1.0, 0.5), model.neck.in_channels=[24, 24, 24, 24] and'),
    'norms': ('FCOS', dict(HIERA_DET, norm_out=True), [8, 16, 32, 64], {},
              'set model.backbone.out_indices=(1, 2, 3), model.neck.in_channels=[16, 32, 64] and'),
    'norms of a timm model': ('FCOS', dict(SWIN, norm_out=True), [8, 16, 32, 64], {},
                              'set model.backbone.out_indices=(1, 2, 3), model.neck.in_channels=[16, 32, 64] and'),
    'first of two necks': ('DyHead', ADAPTER, [16] * 4, {},
                           'model.neck.0.in_channels=[16, 16, 16] and model.neck.0.start_level=0'),
    'coarsest map': ('FCOS', ADAPTER, [16] * 4, {
        'neck.start_level': 0, 'neck.end_level': 2, 'neck.num_outs': 3, 'neck.add_extra_convs': False,
        'bbox_head.strides': [4, 8, 16]}, 'parameters of map 3 get no gradient, which DistributedDataParallel refuses: '
        'set model.backbone.out_indices=(0, 1, 2), model.neck.in_channels=[16, 16, 16] and model.neck.end_level=-1'),
}


@pytest.mark.parametrize('case', UNREAD)
def test_a_map_that_the_neck_leaves_out_is_warned(case):
    """Its parameters would stop training with several processes."""
    name, given, channels, overrides, said = UNREAD[case]
    overrides = {'neck.0.in_channels' if name == 'DyHead' else 'neck.in_channels': channels, **overrides}
    model = build_with(name, overrides, given)
    with pytest.warns(UserWarning, match=re.escape(said)) as caught:
        check_model(model)
    if name != 'DyHead':  # whose anchors would have to follow
        in_silence(build_with(name, obeyed(str(caught[0].message), name, overrides), given))


def test_code_of_others_is_warned():
    """Which maps it reads is its own affair."""
    pytest.importorskip('mmdet')
    from mmdet.models.necks import FPN
    from mmdet.registry import MODELS

    class MyFPN(FPN):

        def forward(self, inputs):
            return super().forward(inputs[:len(self.in_channels)])

    MODELS.register_module(module=MyFPN, force=True)
    try:
        model = build_with('RetinaNet', {
            'neck.type': 'MyFPN', 'neck.in_channels': [24, 24], 'neck.num_outs': 5, 'neck.start_level': 0,
            'neck.add_extra_convs': True, 'bbox_head.anchor_generator.strides': [4, 8, 16, 32, 64]})
        with pytest.warns(UserWarning, match=r'MyFPN expects in_channels \[24, 24\]; set model\.neck\.in_channels='):
            check_model(model)
    finally:
        MODELS.module_dict.pop('MyFPN')


def test_a_model_in_a_wrapper_is_found_and_other_modules_pass():
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = build_with('UPerNet', {})
    runner = SimpleNamespace(model=wrapper)
    with pytest.raises(ValueError, match='UPerHead expects'):
        HOOKS.build(dict(type='densevit.CheckModelHook')).before_run(runner)
    other = nn.Module()
    other.backbone, other.neck = wrapper.module.backbone, nn.Module()
    other.neck.in_channels = [1, 2]
    in_silence(other)


def test_weights_of_another_backbone_are_refused():
    """mmsegmentation hands model.pretrained down to whatever backbone there is."""
    pytest.importorskip('mmseg')
    from mmseg.registry import MODELS
    with pytest.raises(ValueError, match=r"pretrained='open-mmlab://resnet18_v1c' .* set model\.pretrained=None"):
        MODELS.build(ConfigDict(
            type='EncoderDecoder', pretrained='open-mmlab://resnet18_v1c', backbone=LEVELS['backbone'],
            decode_head=dict(type='FCNHead', in_channels=16, channels=4, num_classes=2)))

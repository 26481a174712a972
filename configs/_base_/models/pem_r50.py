# PEM (arXiv:2402.19422) with ResNet-50 for semantic segmentation: 100 queries, whole images. A config adds the size of
# crops and the classes.
_base_ = '../preprocessors/label_maps.py'
model = dict(
    type='densevit.MaskSegmentor',
    backbone=dict(type='densevit.TimmPyramid', name='resnet50.tv_in1k', pretrained=True),
    head=dict(type='densevit.PEM', empty_masks='first'),
    test_cfg=dict(mode='whole'))

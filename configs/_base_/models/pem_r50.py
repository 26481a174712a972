# PEM (arXiv:2402.19422) with ResNet-50 for semantic segmentation: 100 queries, whole images. A config adds the size of
# crops and the classes.
model = dict(
    type='densevit.MaskSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(type='densevit.TimmPyramid', name='resnet50.tv_in1k', pretrained=True),
    head=dict(type='densevit.PEM', empty_masks='first'),
    test_cfg=dict(mode='whole'))

# Mask2Former (arXiv:2112.01527) with Swin-T (arXiv:2103.14030) for semantic segmentation: 100 queries, whole images,
# padded at the right and bottom. A config adds the input size and the number of classes.
model = dict(
    type='densevit.MaskSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='densevit.TimmPyramid',
        name='swin_tiny_patch4_window7_224.ms_in1k',
        norm_out=True,
        drop_path_rate=.3,
        pretrained=True),
    head=dict(type='densevit.Mask2FormerNet', num_queries=100),
    test_cfg=dict(mode='whole'))

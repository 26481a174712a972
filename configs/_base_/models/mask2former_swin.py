# Mask2Former (arXiv:2112.01527) with Swin-T (arXiv:2103.14030) for semantic segmentation: 100 queries, whole images,
# padded at the right and bottom. A config adds the input size and the number of classes.
_base_ = '../preprocessors/label_maps.py'
model = dict(
    type='densevit.MaskSegmentor',
    backbone=dict(
        type='densevit.TimmPyramid',
        name='swin_tiny_patch4_window7_224.ms_in1k',
        norm_out=True,
        drop_path_rate=.3,
        pretrained=True),
    head=dict(type='densevit.Mask2FormerNet', num_queries=100),
    test_cfg=dict(mode='whole'))

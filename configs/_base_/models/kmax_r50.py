# kMaX-DeepLab (arXiv:2207.04044) with ResNet-50 for panoptic segmentation: 128 queries, whole images, padded at the
# right and bottom. A config adds the backbone and the classes.
#
# The authors' images have 1281 pixels on each side, so that corner pixels of all maps lie on each other; here they have
# 1280. Their code with such images is head.corner_aligned=True. The batch norms of their ResNet have an eps of 1e-3 and
# a momentum of 0.01, as those of the head have here and there; timm's have 1e-5 and 0.1, and no option for it.
_base_ = '../preprocessors/segments.py'
model = dict(
    type='densevit.MaskSegmentor',
    task='panoptic',
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],  # of the authors, whatever the backbone was pre-trained with
        std=[127.5, 127.5, 127.5],
        # Images fit into one square of this size, and all are padded to it with zeros, after the normalisation.
        pad_size_divisor=1280),
    backbone=dict(type='densevit.TimmPyramid', name='resnet50.tv_in1k', pretrained=True),
    head=dict(type='densevit.KMaXDeepLab', drop_path=.2),
    # Thresholds of class scores, pixels and overlaps for COCO are the defaults.
    test_cfg=dict(mode='whole'))

# EoMT-L (arXiv:2503.19108) for semantic segmentation: DINOv2 with registers, 100 queries, joined before the last 4 of
# 24 blocks. S and B process queries in 3 blocks, g in 5. A config adds the input size and the number of classes.
_base_ = '../preprocessors/label_maps.py'
model = dict(
    type='densevit.MaskSegmentor',
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_large_patch14_reg4_dinov2',
        # timm downloads the weights, solves for the kernel of the larger patch and resizes the positions to img_size.
        patch_size=16,
        pretrained=True),
    # The authors supervise intermediate predictions to the end of training; deep_supervision='masked' saves those of
    # blocks whose masks are annealed away.
    head=dict(type='densevit.EoMT', num_queries=100, num_blocks=4, deep_supervision='always'),
    # As many windows as needed along the longer side, spread evenly.
    test_cfg=dict(mode='slide'))

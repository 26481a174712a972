# EoMT-L (arXiv:2503.19108) for semantic segmentation: DINOv2 with registers, 100 queries, joined before the last 4 of
# 24 blocks. S and B process queries in 3 blocks, g in 5. A config adds the input size and the number of classes.
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

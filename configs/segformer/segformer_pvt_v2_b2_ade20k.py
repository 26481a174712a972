# SegFormer's decoder on PVT v2-B2 (arXiv:2106.13797) on ADE20K, 512x512.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: no published number for this backbone; the paper's own, MiT-B2, which is not in timm, has 46.5 mIoU.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_pvt_v2_b2_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_pvt_v2_b2_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The schedule is SegFormer's: the decoder learns ten times as fast as the backbone.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/ade20k_crop_512.py', '../_base_/schedules/adamw_poly_160k.py'
]
model = dict(
    type='densevit.PixelSegmentor',
    num_classes=150,
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512)),
    backbone=dict(
        type='densevit.TimmPyramid', name='pvt_v2_b2', pretrained=True, norm_out=False, drop_path_rate=.1),
    head=dict(type='densevit.SegFormerNet', width=768),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(optimizer=dict(lr=6e-4), paramwise_cfg=dict(backbone_lr_mult=.1))

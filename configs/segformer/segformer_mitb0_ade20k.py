# SegFormer-B0 on ADE20K, 512x512.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: 37.4 mIoU, table 1; one scale.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_mitb0_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_mitb0_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The authors' code, models and ImageNet weights are for research alone (NVIDIA's licence). Their checkpoints load:
# python tools/test.py configs/segformer/segformer_mitb0_ade20k.py segformer.b0.512x512.ade.160k.pth
# They evaluate images resized to whole multiples of 32; here images are padded to them.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/ade20k_crop_512.py', '../_base_/schedules/adamw_poly_160k.py',
    '../_base_/models/segformer.py'
]
optim_wrapper = dict(optimizer=dict(lr=6e-4), paramwise_cfg=dict(backbone_lr_mult=.1))  # the decoder learns ten times as fast

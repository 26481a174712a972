# SegFormer-B5 on ADE20K, 640x640.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: 51.0 mIoU, table 1; one scale.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_mitb5_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_mitb5_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/ade20k_crop_640.py', '../_base_/schedules/adamw_poly_160k.py',
    '../_base_/models/segformer.py'
]
model = dict(
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(
        name='mit_b5',
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b5_20220624-658746d9.pth')),
    head=dict(width=768))
optim_wrapper = dict(optimizer=dict(lr=6e-4), paramwise_cfg=dict(backbone_lr_mult=.1))  # the decoder learns ten times as fast

# UperNet with ViT-Adapter-L on ImageNet-21k weights of AugReg (arXiv:2106.10270), ADE20K, 512x512.
#
# paper: Vision Transformer Adapter for Dense Predictions, arXiv:2205.08534.
# published: 53.4 mIoU, the authors' repository (czczup/ViT-Adapter, segmentation/configs/ade20k), single scale,
# windows of 512; 364 M parameters.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_adapter/upernet_vitadapter_l_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_adapter/upernet_vitadapter_l_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# Where memory is short: model.backbone.grad_checkpointing=True.
_base_ = 'upernet_vitadapter_t_ade20k.py'
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),  # of AugReg's training
    backbone=dict(
        drop_path_rate=.4,
        vit=dict(name='vit_large_patch16_384.augreg_in21k_ft_in1k')),
    decode_head=dict(in_channels=[1024] * 4),
    auxiliary_head=dict(in_channels=1024))
optim_wrapper = dict(optimizer=dict(lr=2e-5, weight_decay=.05))

# UperNet with ViT-CoMer-L on ImageNet-21k weights of AugReg (arXiv:2106.10270), ADE20K, 512x512.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: no published number for this size and head.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/vit_comer/upernet_vitcomer_l_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/upernet_vitcomer_l_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The settings are those of ViT-Adapter-L; the refinement of the pyramid is as wide as the ViT, as in ViT-CoMer-B.
# Where memory is short: model.backbone.grad_checkpointing=True.
_base_ = 'upernet_vitcomer_t_ade20k.py'
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),  # of AugReg's training
    backbone=dict(
        mrfp_ratio=1., drop_path_rate=.4,
        vit=dict(name='vit_large_patch16_384.augreg_in21k_ft_in1k')),
    decode_head=dict(in_channels=[1024] * 4),
    auxiliary_head=dict(in_channels=1024))
optim_wrapper = dict(optimizer=dict(lr=2e-5, weight_decay=.05))

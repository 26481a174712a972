# UperNet with ViT-CoMer-S on DeiT (arXiv:2012.12877), ADE20K, 512x512.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 46.5 mIoU, the authors' repository (Traffic-X/ViT-CoMer, segmentation), single scale, windows of 512;
# 61.4 M parameters.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/upernet_vitcomer_s_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/upernet_vitcomer_s_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'upernet_vitcomer_t_ade20k.py'
model = dict(
    backbone=dict(mrfp_ratio=1.5, drop_path_rate=.2, vit=dict(name='deit_small_patch16_224')),
    decode_head=dict(in_channels=[384] * 4),
    auxiliary_head=dict(in_channels=384))
optim_wrapper = dict(optimizer=dict(lr=6e-5))

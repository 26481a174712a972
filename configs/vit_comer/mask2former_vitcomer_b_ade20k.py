# Mask2Former with ViT-CoMer-B on DeiT (arXiv:2012.12877), ADE20K, 512x512.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: no published number for this size and head.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/vit_comer/mask2former_vitcomer_b_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/mask2former_vitcomer_b_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The schedule is ViT-Adapter's for BEiT-B with Mask2Former on COCO-Stuff-10k.
_base_ = 'mask2former_vitcomer_t_ade20k.py'
model = dict(
    backbone=dict(mrfp_ratio=1., drop_path_rate=.3, vit=dict(name='deit_base_patch16_224')),
    decode_head=dict(in_channels=[768] * 4))

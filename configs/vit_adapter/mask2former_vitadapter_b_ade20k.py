# Mask2Former with ViT-Adapter-B on DeiT (arXiv:2012.12877), ADE20K, 512x512.
#
# paper: Vision Transformer Adapter for Dense Predictions, arXiv:2205.08534.
# published: no published number for this size and head.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/vit_adapter/mask2former_vitadapter_b_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_adapter/mask2former_vitadapter_b_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The schedule is ViT-Adapter's for BEiT-B with Mask2Former on COCO-Stuff-10k.
_base_ = 'mask2former_vitadapter_t_ade20k.py'
model = dict(
    backbone=dict(drop_path_rate=.3, vit=dict(name='deit_base_patch16_224')),
    decode_head=dict(in_channels=[768] * 4))

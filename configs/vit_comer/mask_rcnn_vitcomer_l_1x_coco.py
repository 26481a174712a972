# Mask R-CNN with ViT-CoMer-L on DINOv2 (arXiv:2304.07193), COCO, 12 epochs.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 53.4 box AP, 46.8 mask AP, Xia et al. 2024, Table 1.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/mask_rcnn_vitcomer_l_1x_coco.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/mask_rcnn_vitcomer_l_1x_coco.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The authors released no configuration for this size: the settings are those of ViT-Adapter-L with DINOv2, but for
# the images' mean and deviation, which are DINOv2's.
_base_ = 'mask_rcnn_vitcomer_s_1x_coco.py'
model = dict(
    backbone=dict(drop_path_rate=.4, vit=dict(name='vit_large_patch14_dinov2', global_blocks=(5, 11, 17, 23))),
    neck=dict(in_channels=[1024] * 4))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.65))

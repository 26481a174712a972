# Mask R-CNN with ViT-CoMer-B on DINOv2 (arXiv:2304.07193), COCO, 12 epochs.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 52.0 box AP, 45.5 mask AP, Xia et al. 2024, Table 1.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/mask_rcnn_vitcomer_b_1x_coco.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/mask_rcnn_vitcomer_b_1x_coco.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'mask_rcnn_vitcomer_s_1x_coco.py'
model = dict(
    backbone=dict(drop_path_rate=.3, vit=dict(name='vit_base_patch14_dinov2')),
    neck=dict(in_channels=[768] * 4))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.6))

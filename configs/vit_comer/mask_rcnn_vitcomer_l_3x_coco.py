# Mask R-CNN with ViT-CoMer-L on DINOv2 (arXiv:2304.07193), COCO, 36 epochs.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 55.9 box AP, 49.1 mask AP, Xia et al. 2024, Table 1.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/mask_rcnn_vitcomer_l_3x_coco.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/mask_rcnn_vitcomer_l_3x_coco.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The authors released no configuration for this size: the settings are those of ViT-Adapter-L with DINOv2, but for
# the images' mean and deviation, which are DINOv2's.
_base_ = 'mask_rcnn_vitcomer_l_1x_coco.py'
train_cfg = dict(max_epochs=36)
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=36, milestones=[27, 33], gamma=.1)
]

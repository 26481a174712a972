# Cascade Mask R-CNN with ViTDet-H on MAE (arXiv:2111.06377), COCO, 1024x1024, 75 epochs.
#
# paper: Exploring Plain Vision Transformer Backbones for Object Detection, arXiv:2203.16527.
# published: 58.7 box AP, 51.0 mask AP, detectron2, projects/ViTDet/README.md.
# hardware: 64x A100 with 1 image each; 1.137 s and 32.9 GB for an image in training (the same README).
# command: NNODES=8 tools/dist_train.sh configs/vitdet/cascade_mask_rcnn_vitdet_h_coco.py 8 --amp
# not trained here.
#
# Weights of MAE are read from the file that init_cfg names. With fewer GPUs keep the global batch of 64:
# train_dataloader.batch_size=8 on 8 of them.
_base_ = 'cascade_mask_rcnn_vitdet_b_coco.py'
model = dict(
    backbone=dict(
        vit=dict(embed_dim=1280, depth=32, num_heads=16, drop_path_rate=.5, global_blocks=(7, 15, 23, 31)),
        # https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_huge.pth, whose patches of 14 are resized to 16
        init_cfg=dict(checkpoint='pretrained/mae_pretrain_vit_huge.pth')))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.9, no_decay=()))
max_iters = 138281  # 75 epochs of 64 images
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=250),
    dict(
        type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[122916, 133159], gamma=.1)
]

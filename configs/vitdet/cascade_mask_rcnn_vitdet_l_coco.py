# Cascade Mask R-CNN with ViTDet-L on MAE (arXiv:2111.06377), COCO, 1024x1024, 100 epochs.
#
# paper: Exploring Plain Vision Transformer Backbones for Object Detection, arXiv:2203.16527.
# published: 57.6 box AP, 50.0 mask AP, detectron2, projects/ViTDet/README.md.
# hardware: 64x A100 with 1 image each; 0.643 s and 22.3 GB for an image in training (the same README).
# command: NNODES=8 tools/dist_train.sh configs/vitdet/cascade_mask_rcnn_vitdet_l_coco.py 8 --amp
# not trained here.
#
# Weights of MAE are read from the file that init_cfg names. With fewer GPUs keep the global batch of 64:
# train_dataloader.batch_size=8 on 8 of them.
_base_ = 'cascade_mask_rcnn_vitdet_b_coco.py'
model = dict(
    backbone=dict(
        vit=dict(embed_dim=1024, depth=24, num_heads=16, drop_path_rate=.4, global_blocks=(5, 11, 17, 23)),
        # https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_large.pth
        init_cfg=dict(checkpoint='pretrained/mae_pretrain_vit_large.pth')))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.8))

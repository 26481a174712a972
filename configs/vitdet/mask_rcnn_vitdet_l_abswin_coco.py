# Mask R-CNN with ViTDet-L and absolute-window positions on MAE (arXiv:2111.06377), COCO, 1024x1024, 100 epochs.
#
# paper: Window Attention is Bugged: How not to Interpolate Position Embeddings, arXiv:2311.05613.
# published: no published number found for this size and recipe.
# hardware: for 64 GPUs with 1 image each, as ViTDet.
# command: NNODES=8 tools/dist_train.sh configs/vitdet/mask_rcnn_vitdet_l_abswin_coco.py 8 --amp
# not trained here.
#
# No block has relative positions: the paper keeps them in the global ones. With fewer GPUs keep the global batch of
# 64: train_dataloader.batch_size=8 on 8 of them.
_base_ = 'mask_rcnn_vitdet_b_abswin_coco.py'
model = dict(
    backbone=dict(vit=dict(name='vit_large_patch16_224.mae', drop_path_rate=.4, global_blocks=(5, 11, 17, 23))))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.8))

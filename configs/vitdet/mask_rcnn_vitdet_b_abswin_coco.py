# Mask R-CNN with ViTDet-B and absolute-window positions on MAE (arXiv:2111.06377), COCO, 1024x1024, 100 epochs.
#
# paper: Window Attention is Bugged: How not to Interpolate Position Embeddings, arXiv:2311.05613.
# published: no published number found for this size and recipe.
# hardware: for 64 GPUs with 1 image each, as ViTDet.
# command: NNODES=8 tools/dist_train.sh configs/vitdet/mask_rcnn_vitdet_b_abswin_coco.py 8 --amp
# not trained here.
#
# No block has relative positions: the paper keeps them in the global ones. With fewer GPUs keep the global batch of
# 64: train_dataloader.batch_size=8 on 8 of them.
_base_ = 'mask_rcnn_vitdet_b_coco.py'
model = dict(
    backbone=dict(
        vit=dict(
            _delete_=True,
            name='vit_base_patch16_224.mae',
            pretrained=True,
            drop_path_rate=.1,
            # A window is as large as the images of the pre-training, 14x14 patches: its positions are those of MAE, not
            # stretched. The positions of the whole image start at zero.
            pos_embed='absolute_window',
            window_size=14,
            global_blocks=(2, 5, 8, 11)),
        init_cfg=None))

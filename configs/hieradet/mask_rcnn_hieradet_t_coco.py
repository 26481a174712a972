# Mask R-CNN with HieraDet-T on SAM 2's image encoder (arXiv:2408.00714), COCO, 1024x1024, 100 epochs.
#
# paper: Window Attention is Bugged: How not to Interpolate Position Embeddings, arXiv:2311.05613.
# published: no published number for this size and these weights.
# hardware: for 64 GPUs with 1 image each, as ViTDet.
# command: NNODES=8 tools/dist_train.sh configs/hieradet/mask_rcnn_hieradet_t_coco.py 8 --amp
# not trained here.
#
# The recipe is ViTDet's, with mmdet's FPN; decay and dropped paths are guesses, not tuned. The paper's HieraDet
# differs from SAM 2's, which is what runs here: it repeats a small map of positions over the image and has relative
# positions in its global blocks. With fewer GPUs keep the global batch of 64: train_dataloader.batch_size=8 on 8 of
# them.
_base_ = '../_base_/detectors/mask_rcnn.py'
model = dict(
    backbone=dict(type='densevit.HieraDet', name='sam2_hiera_tiny', pretrained=True, drop_path_rate=.1),
    neck=dict(in_channels=[96, 192, 384, 768]))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.8))

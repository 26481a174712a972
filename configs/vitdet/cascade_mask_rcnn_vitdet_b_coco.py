# Cascade Mask R-CNN with ViTDet-B on MAE (arXiv:2111.06377), COCO, 1024x1024, 100 epochs.
#
# paper: Exploring Plain Vision Transformer Backbones for Object Detection, arXiv:2203.16527.
# published: 54.0 box AP, 46.7 mask AP, detectron2, projects/ViTDet/README.md.
# hardware: 64x A100 with 1 image each; 0.362 s and 12.3 GB for an image in training (the same README).
# command: NNODES=8 tools/dist_train.sh configs/vitdet/cascade_mask_rcnn_vitdet_b_coco.py 8 --amp
# not trained here.
#
# Weights of MAE are read from the file that init_cfg names. With fewer GPUs keep the global batch of 64:
# train_dataloader.batch_size=8 on 8 of them.
_base_ = ['../_base_/detectors/cascade_mask_rcnn.py', '../_base_/backbones/vitdet_b.py']
model = _base_.pyramid
optim_wrapper = dict(paramwise_cfg=_base_.rates)

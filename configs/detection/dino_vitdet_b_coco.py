# DINO (arXiv:2203.03605) with ViTDet-B (arXiv:2203.16527) on MAE (arXiv:2111.06377), COCO, 12 epochs.
#
# paper: DINO: DETR with Improved DeNoising Anchor Boxes for End-to-End Object Detection, arXiv:2203.03605.
# published: 50.2 box AP, detrex, projects/dino.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/detection/dino_vitdet_b_coco.py 8 --amp
# not trained here.
#
# Another backbone is another file of _base_/backbones in its place; on fewer GPUs keep the global batch of 16.
_base_ = ['../_base_/detectors/dino.py', '../_base_/backbones/vitdet_b.py']
model = _base_.three_levels
optim_wrapper = dict(paramwise_cfg=_base_.rates)

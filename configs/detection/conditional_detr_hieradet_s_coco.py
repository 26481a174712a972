# Conditional DETR on HieraDet-S (arXiv:2311.05613), one map of stride 32, COCO, 50 epochs.
#
# paper: Conditional DETR for Fast Training Convergence, arXiv:2108.06152.
# published: no published number with this backbone; 40.9 box AP with ResNet-50 (mmdetection).
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/detection/conditional_detr_hieradet_s_coco.py 8 --amp
# not trained here.
#
# Another backbone is another file of _base_/backbones in its place; on fewer GPUs keep the global batch of 16.
_base_ = ['../_base_/detectors/conditional_detr.py', '../_base_/backbones/hieradet_s.py']
model = _base_.one_level
optim_wrapper = dict(paramwise_cfg=_base_.rates)

# DAB-DETR on Swin-T (arXiv:2103.14030), one map of stride 32, COCO, 50 epochs.
#
# paper: DAB-DETR: Dynamic Anchor Boxes are Better Queries for DETR, arXiv:2201.12329.
# published: no published number with this backbone; 42.3 box AP with ResNet-50 (mmdetection).
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/detection/dab_detr_swin_t_coco.py 8 --amp
# not trained here.
#
# Another backbone is another file of _base_/backbones in its place; on fewer GPUs keep the global batch of 16.
_base_ = ['../_base_/detectors/dab_detr.py', '../_base_/backbones/swin_t.py']
model = _base_.one_level
optim_wrapper = dict(paramwise_cfg=_base_.rates)

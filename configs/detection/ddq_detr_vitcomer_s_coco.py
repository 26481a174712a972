# DDQ-DETR with four levels on ViT-CoMer-S (arXiv:2403.07392), COCO, 12 epochs.
#
# paper: Dense Distinct Query for End-to-End Object Detection, arXiv:2303.12776.
# published: no published number with this backbone; 51.4 box AP with ResNet-50 (mmdetection).
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/detection/ddq_detr_vitcomer_s_coco.py 8 --amp
# not trained here.
#
# Another backbone is another file of _base_/backbones in its place; on fewer GPUs keep the global batch of 16.
_base_ = ['../_base_/detectors/ddq_detr.py', '../_base_/backbones/vitcomer_s.py']
model = _base_.three_levels
optim_wrapper = dict(paramwise_cfg=_base_.rates)

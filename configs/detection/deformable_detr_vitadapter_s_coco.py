# Deformable DETR with refined boxes and two stages on ViT-Adapter-S (arXiv:2205.08534), COCO, 50 epochs.
#
# paper: Deformable DETR: Deformable Transformers for End-to-End Object Detection, arXiv:2010.04159.
# published: no published number with this backbone; 47.0 box AP with ResNet-50 (mmdetection).
# hardware: 16 GPUs with 2 images each; time and memory were not published.
# command: NNODES=2 tools/dist_train.sh configs/detection/deformable_detr_vitadapter_s_coco.py 8 --amp
# not trained here.
#
# Another backbone is another file of _base_/backbones in its place; on fewer GPUs keep the global batch of 32.
_base_ = ['../_base_/detectors/deformable_detr.py', '../_base_/backbones/vitadapter_s.py']
model = _base_.three_levels
optim_wrapper = dict(paramwise_cfg=_base_.rates)

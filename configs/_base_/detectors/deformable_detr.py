# Deformable DETR (arXiv:2010.04159) on COCO with refined boxes and two stages, 50 epochs: mmdetection's model, data
# and schedule, for a global batch of 32. It reads the `three_levels` of a file in _base_/backbones, which a config
# names beside this one, and makes a fourth of them.
#
# published: 47.0 box AP with ResNet-50, 46.2 without the second stage, 44.3 without refinement too (mmdetection).
# The rate is DINO's, half of the published one, which spares sampling offsets and reference points instead.
_base_ = 'mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py'
model = dict(backbone=dict(_delete_=True))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay=.7, rule='beit'))

# Conditional DETR (arXiv:2108.06152) on COCO, 50 epochs: mmdetection's model, data and schedule, for a global batch
# of 16. It reads the `one_level` of a file in _base_/backbones, which a config names beside this one: attention is
# over all of it.
#
# published: 41.0 box AP with ResNet-50 of stride 32, 43.7 of stride 16 (the authors); 40.9 of stride 32
# (mmdetection).
_base_ = 'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py'
model = dict(backbone=dict(_delete_=True))
optim_wrapper = dict(
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay=.7, rule='beit'))

# DDQ-DETR (arXiv:2303.12776) on COCO with four levels, 12 epochs: mmdetection's model, data and schedule, for a
# global batch of 16. It reads the `three_levels` of a file in _base_/backbones, which a config names beside this one,
# and makes a fourth of them.
#
# published: 51.4 box AP with ResNet-50, 58.7 with Swin-L and 30 epochs (mmdetection).
_base_ = 'mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py'
model = dict(backbone=dict(_delete_=True))
optim_wrapper = dict(
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay=.7, rule='beit'))

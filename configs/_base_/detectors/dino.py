# DINO (arXiv:2203.03605) on COCO with four levels, 12 epochs: mmdetection's model, data and schedule, for a global
# batch of 16. Its encoder reads the `three_levels` of a file in _base_/backbones, which a config names beside this
# one, and makes a fourth of them.
#
# published: 50.2 box AP with ViTDet-B on MAE, 52.9 with L (detrex, projects/dino); 49.0 with ResNet-50 (mmdetection);
# 57.5 with Swin-L and five levels (detrex).
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
model = dict(backbone=dict(_delete_=True))
optim_wrapper = dict(
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay=.7, rule='beit'))

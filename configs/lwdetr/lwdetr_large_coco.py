# LW-DETR-L on COCO, squares of 640 pixels: 46.8 M parameters, 71.6 GFLOPs, 8.8 ms on a T4 (TensorRT, fp16).
#
# paper: LW-DETR: A Transformer Replacement to YOLO for Real-Time Detection, arXiv:2406.03459.
# published: 56.1 box AP, table 1, after Objects365; github.com/Atten4Vis/LW-DETR.
# hardware: 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/lwdetr/lwdetr_large_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoints (huggingface.co/xbsu/LW-DETR, Apache-2.0) load as they are; those for COCO have 91 classes,
# of which its 80 are taken. The paper begins with Objects365:
# --load-from LWDETR_large_30e_objects365.pth --new-classes.
# Without it, the ViT learns from random weights.
_base_ = '../_base_/recipes/lwdetr_coco.py'
max_iters = 443580  # 60 epochs of 16 images
model = dict(
    backbone=dict(embed_dim=384, drop_path_rate=.1),
    head=dict(embed_dim=384, num_heads=12, num_cross_heads=24, num_points=4, scales=(2., .5)))
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.7, backbone_lr_mult=.375))
param_scheduler = [dict(type='ConstantLR', factor=1., by_epoch=False, begin=0, end=max_iters)]
train_cfg = dict(max_iters=max_iters)

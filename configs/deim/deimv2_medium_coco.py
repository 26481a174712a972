# DEIMv2-M on COCO, squares of 640 pixels: 18.1 M parameters, 52.2 GFLOPs, 8.80 ms on a T4 (TensorRT, fp16).
#
# paper: Real-Time Object Detection Meets DINOv3, arXiv:2509.20787.
# published: 53.0 box AP, table 1; github.com/Intellindust-AI-Lab/DEIMv2.
# hardware: 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/deim/deimv2_medium_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoint loads as it is. Without it, the ViT learns from random weights.
_base_ = '../_base_/recipes/deimv2_coco.py'
epoch = 3696
epochs = 102
train_pipeline = _base_.train_pipeline
train_pipeline[3]['starts'] = (4 / epochs, 49 / epochs, 90 / epochs)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(
            type='densevit.MixUpOrCopyBlend',
            mix_up_during=(4 / epochs, 49 / epochs),
            copy_blend_during=(4 / epochs, 90 / epochs)),
        dict(type='densevit.MultiScaleBatch', until=90 / epochs, repeat=6)
    ]),
    backbone=dict(embed_dim=256, num_heads=4),
    head=dict(embed_dim=256, expansion=.67, num_blocks=3),
    criterion=dict(late_matching=80 / epochs))
param_scheduler = [
    dict(type='mmdet.QuadraticWarmupLR', by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', eta_min_ratio=.5, by_epoch=False, begin=49 * epoch, end=90 * epoch)
]
train_cfg = dict(max_iters=epochs * epoch)

# DEIMv2-L on COCO, squares of 640 pixels: 32.2 M parameters, 96.7 GFLOPs, 10.47 ms on a T4 (TensorRT, fp16).
#
# paper: Real-Time Object Detection Meets DINOv3, arXiv:2509.20787.
# published: 56.0 box AP, table 1; github.com/Intellindust-AI-Lab/DEIMv2.
# hardware: 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/deim/deimv2_large_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoint loads as it is. The ViT begins with DINOv3 (timm downloads it; DINOv3 License).
_base_ = '../_base_/recipes/deimv2_coco.py'
epoch = 3696
epochs = 68
train_pipeline = _base_.train_pipeline
train_pipeline[3]['starts'] = (4 / epochs, 34 / epochs, 60 / epochs)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(
            type='densevit.MixUpOrCopyBlend',
            mix_up_during=(4 / epochs, 34 / epochs),
            copy_blend_during=(4 / epochs, 60 / epochs)),
        dict(type='densevit.MultiScaleBatch', until=60 / epochs, repeat=3)
    ]),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        name='vit_small_patch16_dinov3_qkvb',
        pretrained=True,
        img_size=640,
        out_indices=(5, 8, 11)),
    head=dict(
        embed_dim=224,
        ffn_dim=1792,
        encoder_ffn_dim=896,
        side_dim=32,
        expansion=1.,
        num_blocks=3),
    criterion=dict(late_matching=50 / epochs))
optim_wrapper = dict(optimizer=dict(weight_decay=1.25e-4), paramwise_cfg=dict(backbone_lr_mult=.025))
param_scheduler = [
    dict(type='mmdet.QuadraticWarmupLR', by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', eta_min_ratio=.5, by_epoch=False, begin=34 * epoch, end=60 * epoch)
]
train_cfg = dict(max_iters=epochs * epoch)

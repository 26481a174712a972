# DEIMv2-X on COCO, squares of 640 pixels: 50.3 M parameters, 151.6 GFLOPs, 13.75 ms on a T4 (TensorRT, fp16).
#
# paper: Real-Time Object Detection Meets DINOv3, arXiv:2509.20787.
# published: 57.8 box AP, table 1; github.com/Intellindust-AI-Lab/DEIMv2.
# hardware: 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/deim/deimv2_xlarge_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoint loads as it is. The ViT begins with DINOv3 (timm downloads it; DINOv3 License).
_base_ = '../_base_/recipes/deimv2_coco.py'
epoch = 3696
epochs = 58
train_pipeline = _base_.train_pipeline
train_pipeline[3]['starts'] = (4 / epochs, 29 / epochs, 50 / epochs)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(
            type='densevit.MixUpOrCopyBlend',
            mix_up_during=(4 / epochs, 29 / epochs),
            copy_blend_during=(4 / epochs, 50 / epochs)),
        dict(type='densevit.MultiScaleBatch', until=50 / epochs, repeat=3)
    ]),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        name='vit_small_plus_patch16_dinov3_qkvb',
        pretrained=True,
        img_size=640,
        out_indices=(5, 8, 11)),
    head=dict(
        embed_dim=256,
        num_layers=6,
        ffn_dim=2048,
        encoder_ffn_dim=1024,
        side_dim=64,
        expansion=1.25,
        num_blocks=4),
    criterion=dict(late_matching=45 / epochs))
optim_wrapper = dict(optimizer=dict(weight_decay=1.25e-4), paramwise_cfg=dict(backbone_lr_mult=.02))
param_scheduler = [
    dict(type='mmdet.QuadraticWarmupLR', by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', eta_min_ratio=.5, by_epoch=False, begin=29 * epoch, end=50 * epoch)
]
train_cfg = dict(max_iters=epochs * epoch)

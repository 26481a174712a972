# PEM with ResNet-50 (arXiv:1512.03385) on Cityscapes, 512x1024.
#
# paper: PEM: Prototype-based Efficient MaskFormer for Image Segmentation, arXiv:2402.19422.
# published: 79.9 mIoU, the authors' repository (NiccoloCavagnero/PEM), single scale, images of 1024x2048; 240 GFLOPs.
# hardware: 4 GPUs with 8 images each; time and memory were not published.
# command: tools/dist_train.sh configs/pem/pem_r50_cityscapes.py 4 --amp
# 1 GPU: python tools/train.py configs/pem/pem_r50_cityscapes.py --amp --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/pem_r50.py', '../_base_/datasets/cityscapes_1024.py',
    '../_base_/schedules/pem.py'
]
crop_size = (512, 1024)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(4096, int(1024 * size * .1)) for size in range(5, 21)],
        resize_type='mmseg.Resize',
        keep_ratio=True,
        backend='pillow'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
model = dict(num_classes=19, data_preprocessor=dict(size=crop_size))
sync_bn = 'torch'  # in distributed runs
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=90000, val_interval=5000)
optim_wrapper = dict(optimizer=dict(lr=7e-4))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0., begin=0, T_max=90000)

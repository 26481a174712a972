# A linear classifier of DINOv2-S's last four layers on ADE20K, 640x640.
#
# paper: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193.
# published: 47.2 mIoU, the authors' model card, five scales and mirrored: test with --tta.
# hardware: for 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/linear/linear_dinov2_vits_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/linear/linear_dinov2_vits_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The backbone is frozen. The authors pad images to whole patches on all sides, not at the right and bottom alone.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/preprocessors/label_maps.py',
    '../_base_/datasets/ade20k_zoom_640.py'
]
crop_size = (640, 640)
model = dict(
    type='densevit.PixelSegmentor',
    num_classes=150,
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_small_patch14_dinov2',
        pretrained=True,
        out_indices=(-4, -3, -2, -1),
        frozen_stages=13),
    head=dict(type='densevit.LinearNet'),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(320, 320)))
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=40000, val_interval=10000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(.9, .999), weight_decay=1e-4),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1., no_decay=()))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1., eta_min=0., by_epoch=False, begin=1500, end=40000)
]

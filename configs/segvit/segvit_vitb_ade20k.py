# SegViT-B on AugReg (arXiv:2106.10270), ADE20K, 512x512.
#
# paper: SegViT: Semantic Segmentation with Plain Vision Transformers, arXiv:2210.05844.
# published: 51.3 mIoU, the authors' repository (zbwxp/SegVit), single scale, windows of 512; 120.9 GFLOPs.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/segvit/segvit_vitb_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segvit/segvit_vitb_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/preprocessors/label_maps.py',
    '../_base_/datasets/ade20k_crop_512.py'
]
crop_size = (512, 512)
model = dict(
    type='densevit.MaskSegmentor',
    num_classes=150,
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, size=crop_size),  # as AugReg's weights were trained
    # As the authors use it: no class token, no final norm.
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_base_patch16_384',
        pretrained=True,
        img_size=crop_size,
        drop_path_rate=.1,
        keep_prefix=False,
        norm_out=False,
        out_indices=(5, 7, 11)),
    head=dict(type='densevit.SegViT', embed_dim=384, num_heads=12),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)))
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(.9, .999), weight_decay=.01),
    clip_grad=dict(max_norm=35),
    constructor='densevit.LayerDecayConstructor',
    # Norms have no weight decay. The authors mean so everywhere, but in the head another of their rules comes first.
    paramwise_cfg=dict(layer_decay=1., backbone_lr_mult=.1, no_decay=('norms', )))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1., eta_min=0., by_epoch=False, begin=1500, end=160000)
]

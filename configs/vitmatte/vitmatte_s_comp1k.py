# ViTMatte-S on composed pictures of 512 pixels: 25.8 M parameters.
#
# paper: ViTMatte: Boosting Image Matting with Pre-trained Plain Vision Transformers, arXiv:2305.15272.
# published: no published number checked here; the paper has SAD 21.46, MSE 3.3, Grad 7.24, Conn 16.21.
# hardware: 2 GPUs with 16 images each.
# command: tools/dist_train.sh configs/vitmatte/vitmatte_s_comp1k.py 2
# not trained here.
#
# 100 epochs of the 43,100 compositions of Composition-1k; here foregrounds are laid on backgrounds as they come. The
# ViT starts with DINO's weights, https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/
# dino_deitsmall16_pretrain.pth, as a file; those of the trimap's channel and of relative positions are zeros. Two
# foregrounds are joined and colours of foregrounds alone are jittered as by the authors, who also turn and shear them.
# Composition-1k and weights that have learnt from it are for research.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/matting_512.py']
model = dict(
    type='densevit.MattingModel',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='densevit.PlainViT',
        family='sam',  # timm's ViT with decomposed relative positions
        in_chans=4,  # colours and the trimap
        img_size=512,
        patch_size=16,
        embed_dim=384,
        depth=12,
        num_heads=6,
        pos_embed_grid=14,
        pos_embed_antialias=False,
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/dino_deitsmall16_pretrain.pth')),
    head=dict(type='densevit.ViTMatte', residual_blocks=(2, 5, 8, 11)))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=.1),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=.65))
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', milestones=[40406], gamma=.1, by_epoch=False, begin=0, end=134687),
    dict(type='MultiStepLR', milestones=[121218], gamma=.5, by_epoch=False, begin=0, end=134687)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=134687, val_interval=13468)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# ViTMatte-B on composed pictures of 512 pixels: 96.7 M parameters.
#
# paper: ViTMatte: Boosting Image Matting with Pre-trained Plain Vision Transformers, arXiv:2305.15272.
# published: no published number checked here; the paper has SAD 20.33, MSE 3.0, Grad 6.74, Conn 14.78.
# hardware: 2 GPUs with 10 images each.
# command: tools/dist_train.sh configs/vitmatte/vitmatte_b_comp1k.py 2
# not trained here.
#
# As vitmatte_s_comp1k, on MAE's weights, https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth.
_base_ = ['vitmatte_s_comp1k.py']
model = dict(
    backbone=dict(
        embed_dim=768,
        num_heads=12,
        init_cfg=dict(checkpoint='pretrained/mae_pretrain_vit_base.pth')))
train_dataloader = dict(batch_size=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', milestones=[64650], gamma=.1, by_epoch=False, begin=0, end=215500),
    dict(type='MultiStepLR', milestones=[193950], gamma=.5, by_epoch=False, begin=0, end=215500)
]
train_cfg = dict(max_iters=215500, val_interval=21550)

# ViT-P (arXiv:2505.19795) on eight images of CamVid: new classes for the masks of the Mask2Former that
# mask2former_camvid8.py has learned, by a ViT of four blocks behind a ResNet-18, from random weights. A point is told by
# its coordinates alone, so that the ViT has to find it: positions begin as sines. Images are seen whole.
#
# Trained here: 44.5 mIoU on the same images after 1500 iterations, by the classes of the points alone; 22.1 and 48.3
# after 500 and 1000: not known by heart, points are found to about a patch. With head.alpha=.4, the paper's, 90.6, which
# are the masks' own classes.
# command: python tools/train.py configs/overfit/vit_p_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
size = (368, 480)
max_iters = 1500
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    type='densevit.MaskSegmentor',
    data_preprocessor=dict(size=size),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
        img_size=(192, 256),
        embed_dim=192,
        depth=4,
        num_heads=6,
        class_token=False,
        sine_init=True),
    head=dict(
        type='densevit.ViTP',
        alpha=1.,  # the classes are the points' alone
        image_size=(192, 256),
        proposer=dict(
            type='densevit.Mask2FormerNet',
            num_queries=24,
            embed_dim=128,
            encoder_layers=2,
            encoder_ffn_dim=256,
            decoder_layers=3,
            decoder_ffn_dim=256,
            mask_dim=128,
            backbone=dict(
                type='densevit.TimmPyramid', name='resnet18d', pretrained=False, out_indices=(1, 2, 3, 4))),
        proposer_weights='work_dirs/mask2former_camvid8/iter_800.pth'))
# The embedding of points begins as next to nothing: it learns five times as fast as the ViT.
optim_wrapper = dict(optimizer=dict(lr=5e-3), paramwise_cfg=dict(backbone_lr_mult=.2))
train_cfg = dict(max_iters=max_iters, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=50, end=max_iters)
]

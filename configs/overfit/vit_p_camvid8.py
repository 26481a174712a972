# ViT-P (arXiv:2505.19795) on eight images of CamVid: new classes for the masks of the Mask2Former that
# mask2former_camvid8.py has learned. The ViT begins with the weights of eomt_tiny_camvid, as the authors' begins with
# DINOv2's. Images are seen whole, of one size in training and in prediction.
#
# Trained here around a ViT with a ResNet-18 stem that learned the same data from random weights, not around the one
# below: 80.1 mIoU on the same images, by the classes of the points alone, in two runs: 77.0 after the 4000 iterations
# below (53.2, 62.0, 75.0 after 1000, 2000, 3000), then 800 more from these weights.
# command: python tools/train.py configs/overfit/vit_p_camvid8.py --amp
#   and:   python tools/train.py configs/overfit/vit_p_camvid8.py --amp --work-dir work_dirs/vit_p_camvid8_2 \
#              --load-from work_dirs/vit_p_camvid8/iter_4000.pth --cfg-options optim_wrapper.optimizer.lr=1.5e-3 \
#              train_cfg.max_iters=800 train_cfg.val_interval=400 param_scheduler.1.end=800
_base_ = '../_base_/recipes/overfit_camvid8.py'
size = (384, 480)
image_size = (256, 320)
max_iters = 4000
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    type='densevit.MaskSegmentor',
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], size=size),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16),
        img_size=image_size,
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        no_embed_class=True,
        init_cfg=dict(type='Pretrained', checkpoint='densevit/weights/bundled/eomt_tiny_camvid.safetensors')),
    head=dict(
        type='densevit.ViTP',
        num_points=96,
        alpha=1.,  # the classes are the points' alone
        image_size=image_size,
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
train_cfg = dict(max_iters=max_iters, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=50, end=max_iters)
]

# The Shrunk form of SegViT (arXiv:2210.05844) on eight images of CamVid, with its ViT of five blocks behind a ResNet-18
# from random weights. Images are seen whole, of one size in training and in prediction.
#
# Trained here, once: 85.3 mIoU on the same images after 2800 iterations; 48.7, 76.9, 80.3, 83.7 and 84.4 after 400, 800,
# 1200, 1600 and 2000.
# command: python tools/train.py configs/overfit/segvit_shrunk_camvid8.py --amp
# The same with one option off, once each and stopped early, so that where they would end is not known: 23.7 mIoU after 400
# iterations with --cfg-options model.head.aux_head=False; with model.backbone.sine_init=False the auxiliary loss of
# iterations 281 to 360 is .83 instead of .72.
_base_ = '../_base_/recipes/overfit_camvid8.py'
size = (384, 512)
scale = size[::-1]
max_iters = 2800
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.Resize', scale=scale, keep_ratio=True),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = scale
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    type='densevit.MaskSegmentor',
    data_preprocessor=dict(size=size),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
        img_size=size,
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        norm_out=False,
        sine_init=True),
    head=dict(
        type='densevit.SegViTShrunk',
        embed_dim=128,
        num_heads=4,
        shrink_block=2,
        query_grid=(24, 32),
        aux_head=True,
        dropout=0.),
    criterion=dict(aux_weight=2.))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=max_iters, val_interval=400)
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=50, end=max_iters)
]

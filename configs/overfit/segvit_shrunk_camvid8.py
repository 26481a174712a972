# Shrunk SegViT (arXiv:2210.05844) on eight images of CamVid, twice as large: a ViT of four blocks behind a ResNet-18,
# from random weights.
#
# command: python tools/train.py configs/overfit/segvit_shrunk_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
crop_size = (256, 320)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.Resize', scale=(960, 720), keep_ratio=True),  # masks of stride 8 in pixels of the file
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.6),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.Resize', scale=(960, 720), keep_ratio=True),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    type='densevit.MaskSegmentor',
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
        img_size=crop_size,
        embed_dim=192,
        depth=4,
        num_heads=6,
        class_token=False,
        norm_out=False),
    head=dict(
        type='densevit.SegViTShrunk',
        embed_dim=128,
        num_heads=4,
        num_layers=1,
        shrink_block=1,
        query_grid=(16, 20),
        dropout=0.),
    test_cfg=dict(mode='slide', crop_size=crop_size))

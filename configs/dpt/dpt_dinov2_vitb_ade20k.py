# DPT with DINOv2-B (arXiv:2304.07193) on ADE20K, 518x518.
#
# paper: Vision Transformers for Dense Prediction, arXiv:2103.13413.
# published: no published number for this backbone.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/dpt/dpt_dinov2_vitb_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/dpt/dpt_dinov2_vitb_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# Layers learn the slower the nearer they are to the image, by 0.8 each, as is usual with these weights; not tuned.
_base_ = 'dpt_vitb_ade20k.py'
crop_size = (518, 518)  # whole patches of 14
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='RandomResize', scale=(2072, 518), ratio_range=(.5, 2.), resize_type='mmseg.Resize', keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.75),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(name='vit_base_patch14_dinov2', img_size=crop_size, norm_out=True),
    head=dict(aux_level=-2),
    criterion=dict(aux_weight=.2))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.8))

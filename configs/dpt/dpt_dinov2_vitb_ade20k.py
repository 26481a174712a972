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
train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(type='densevit.ScaleCropFlip', size=518, scale=(2072, 518))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(name='vit_base_patch14_dinov2', img_size=crop_size, norm_out=True),
    head=dict(aux_level=-2),
    criterion=dict(aux_weight=.2))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.8))

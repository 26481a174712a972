# SwinIR, pre-trained for all kinds of degradations at once: half of the pixels of degraded images are hidden, and of the
# true image those alone are learned.
#
# paper: Restore Anything with Masks, arXiv:2409.19403.
# published: no published number. The authors learn seven degradations, six of them from pairs that are not made here.
# hardware: for 8 GPUs with 12 patches each.
# command: tools/dist_train.sh configs/ram/swinir_m_ram_pretrain.py 8
# 1 GPU: python tools/train.py configs/ram/swinir_m_ram_pretrain.py \
#     --cfg-options train_dataloader.batch_size=96
# not trained here.
_base_ = '../_base_/recipes/ram_dfwb.py'
model = dict(head=dict(type='densevit.SwinIR'))
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=64),
    dict(type='densevit.FlipAndTurn'),
    _base_.worse,
    dict(type='densevit.MaskPixels', ratio=.5),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# How well hidden pixels are told: the metric counts those that are seen as well.
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', steps=_base_.worse.steps, seed=0),
    dict(type='densevit.MaskPixels', ratio=.5, seed=0),
    dict(type='densevit.PackPair')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

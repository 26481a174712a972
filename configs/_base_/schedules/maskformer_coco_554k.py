# MaskFormer's recipe for COCO panoptic segmentation with Swin (arXiv:2107.06278, section 4.1), for a global batch of
# 64: 300 epochs, a tenth of the learning rate from 2/3 of the run.
_base_ = 'maskformer_ade20k_160k.py'
train_cfg = dict(max_iters=554400)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='MultiStepLR', by_epoch=False, milestones=[369600], gamma=.1)
]

# DEIMv2 (arXiv:2509.20787) on a Swin (arXiv:2103.14030) and on eight images of COCO with 22 objects of 17 of its classes,
# until it knows them by heart: a proof that training, denoising, edges, boxes and AP fit together on a hierarchical
# backbone, not a model to use. A Swin of half the width of Swin-T from random weights, no augmentation.
#
# Trained here: 99.1 box AP (100.0 AP50) on the same images after 300 iterations of 4, bfloat16, in 24 minutes on one
# thread of a CPU with many other tasks; 56.1 (93.0) and 89.6 (100.0) after 100 and 200.
# command: python tools/train.py configs/overfit/deim_swin_coco8.py --amp
_base_ = 'deim_coco8.py'
max_iters = 300
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevit.TimmPyramid',
        name='swin_tiny_patch4_window7_224',
        embed_dim=48,
        depths=(2, 2, 4, 2),
        num_heads=(2, 4, 8, 16),
        window_size=8,
        out_indices=(1, 2, 3),
        norm_out=True,
        drop_path_rate=0.))
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=150, end=max_iters)
]
train_cfg = dict(max_iters=max_iters)

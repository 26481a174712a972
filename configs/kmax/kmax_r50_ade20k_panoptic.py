# kMaX-DeepLab with ResNet-50, ADE20K panoptic segmentation, 1280x1280.
#
# paper: k-means Mask Transformer, arXiv:2207.04044.
# published: 42.2 PQ, Yu et al. 2022, model zoo of their PyTorch code, 1281x1281.
# hardware: 32 GPUs with 2 images each; time and memory were not measured.
# command: torchrun --nnodes=4 --nproc_per_node=8 tools/train.py configs/kmax/kmax_r50_ade20k_panoptic.py
#   --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/kmax/kmax_r50_ade20k_panoptic.py --amp
#   --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/kmax_r50.py',
    '../_base_/datasets/ade20k_panoptic_kmax_1280.py', '../_base_/schedules/kmax.py'
]
model = dict(
    num_classes=150,
    stuff_classes={{_base_.stuff_classes}},
    head=dict(drop_path=0.),
    test_cfg=dict(thing_threshold=.4, stuff_threshold=.4))
train_cfg = dict(max_iters=100000)
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=5000),
    dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=5000, end=100000)
]

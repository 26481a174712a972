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
    '../_base_/default_runtime.py', '../_base_/models/kmax_r50.py', '../_base_/datasets/ade20k_panoptic_1280.py',
    '../_base_/schedules/kmax.py'
]
train_dataloader = dict(batch_size=2)
model = dict(
    num_classes=150,
    # 50 of the 150 classes, among the others.
    stuff_classes=[
        0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63, 68,
        77, 79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145
    ],
    head=dict(drop_path=0.),
    test_cfg=dict(thing_threshold=.4, stuff_threshold=.4))
train_cfg = dict(max_iters=100000)
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=5000),
    dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=5000, end=100000)
]

# PEM with ResNet-50 (arXiv:1512.03385) on ADE20K, 512x512.
#
# paper: PEM: Prototype-based Efficient MaskFormer for Image Segmentation, arXiv:2402.19422.
# published: 45.5 mIoU, the authors' repository (NiccoloCavagnero/PEM), single scale, shorter side 512; 46.9 GFLOPs.
# hardware: 4 GPUs with 8 images each; time and memory were not published.
# command: tools/dist_train.sh configs/pem/pem_r50_ade20k.py 4 --amp
# 1 GPU: python tools/train.py configs/pem/pem_r50_ade20k.py --amp --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/pem_r50.py', '../_base_/datasets/ade20k_shortest_512.py',
    '../_base_/schedules/pem.py'
]
train_dataloader = dict(batch_size=8)
model = dict(
    num_classes=150,
    data_preprocessor=dict(size=(512, 512)),
    # As pre-trained. The authors freeze scales and shifts as well, which learn here.
    backbone=dict(norm_eval=True))
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=160000, val_interval=5000)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=.0025, begin=0, T_max=160000)

# kMaX-DeepLab with ResNet-50, COCO panoptic segmentation, 1280x1280.
#
# paper: k-means Mask Transformer, arXiv:2207.04044.
# published: 53.3 PQ, Yu et al. 2022, model zoo of their PyTorch code, 1281x1281.
# hardware: 32x V100, 53 hours (published).
# command: torchrun --nnodes=4 --nproc_per_node=8 tools/train.py configs/kmax/kmax_r50_coco_panoptic.py
#   --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/kmax/kmax_r50_coco_panoptic.py --amp
#   --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/kmax_r50.py',
    '../_base_/datasets/coco_panoptic_kmax_1280.py', '../_base_/schedules/kmax.py'
]
model = dict(num_classes=133, stuff_classes=list(range(80, 133)))

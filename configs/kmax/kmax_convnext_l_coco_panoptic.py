# kMaX-DeepLab with ConvNeXt-L (arXiv:2201.03545), COCO panoptic segmentation, 1280x1280.
#
# paper: k-means Mask Transformer, arXiv:2207.04044.
# published: 57.9 PQ, Yu et al. 2022, model zoo of their PyTorch code, 1281x1281.
# hardware: 32 GPUs with 2 images each; time and memory were not measured.
# command: torchrun --nnodes=4 --nproc_per_node=8 tools/train.py configs/kmax/kmax_convnext_l_coco_panoptic.py
#   --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/kmax/kmax_convnext_l_coco_panoptic.py --amp
#   --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = ['kmax_r50_coco_panoptic.py']
model = dict(backbone=dict(name='convnext_large.fb_in22k_ft_in1k_384', drop_path_rate=.6))

# EoMT-B with DINOv2 (arXiv:2304.07193) on ADE20K, 512x512.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: no published number for this backbone and dataset.
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitb_ade20k.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitb_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'eomt_vitl_ade20k.py'
model = dict(backbone=dict(name='vit_base_patch14_reg4_dinov2'), head=dict(num_blocks=3))

# EoMT-S with DINOv3 (arXiv:2508.10104) on Cityscapes, 1024x1024.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: no published number for this backbone and dataset.
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vits_dinov3_cityscapes.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vits_dinov3_cityscapes.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'eomt_vitl_dinov3_cityscapes.py'
model = dict(backbone=dict(name='vit_small_patch16_dinov3_qkvb'), head=dict(num_blocks=3))
# As the authors anneal three blocks on COCO: steps 0, 8150 and 13040 of 20192, each over 3260.
custom_hooks = [
    dict(type='densevit.MaskAnnealingHook', starts=[step / 20192 for step in (0, 8150, 13040)], length=3260 / 20192)
]

# VPNeXt-L with DINOv2 (arXiv:2304.07193) on Cityscapes, 1024x1024.
#
# paper: VPNeXt: Rethinking Dense Decoding for Plain Vision Transformer, arXiv:2502.16654.
# published: no published number for this trunk and recipe.
# hardware: for 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/vpnext/vpnext_vitl_cityscapes.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/vpnext/vpnext_vitl_cityscapes.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# There is no public code, and the recipe is not the paper's: it is the one of configs/eomt/eomt_vitl_cityscapes.py without
# what belongs to masks.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/preprocessors/label_maps.py',
    '../_base_/datasets/cityscapes_1024.py', '../_base_/schedules/eomt_dinov2.py'
]
model = dict(
    type='densevit.PixelSegmentor',
    num_classes=19,
    data_preprocessor=dict(size=(1024, 1024)),
    # Blocks 12 and 18 learn in the context of the last one.
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_large_patch14_reg4_dinov2',
        patch_size=16,
        pretrained=True,
        img_size=(1024, 1024),
        out_indices=(11, 17, 23)),
    head=dict(type='densevit.VPNeXt', embed_dim=256),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024)))
train_cfg = dict(max_iters=19902, val_interval=2000)  # 107 epochs of 186 batches
optim_wrapper = dict(clip_grad=dict(max_norm=1.))
param_scheduler = dict(head_warmup=500 / 19902, backbone_warmup=1000 / 19902)
custom_hooks = []

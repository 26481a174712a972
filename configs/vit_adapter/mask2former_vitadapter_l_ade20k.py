# Mask2Former with ViT-Adapter-L on BEiT (arXiv:2106.08254), ADE20K, 640x640.
#
# paper: Vision Transformer Adapter for Dense Predictions, arXiv:2205.08534.
# published: 58.3 mIoU, the authors' repository (czczup/ViT-Adapter, segmentation/configs/ade20k), single scale,
# windows of 640; 568 M parameters.
# hardware: 8 GPUs with 2 images each, activations recomputed; time and memory were not published.
# command: tools/dist_train.sh configs/vit_adapter/mask2former_vitadapter_l_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_adapter/mask2former_vitadapter_l_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The authors recompute activations: model.backbone.grad_checkpointing=True. Their 61.2 mIoU (BEiTv2, 896x896, 80k
# steps) starts from a model trained on COCO-Stuff.
_base_ = '../_base_/recipes/mask2former_wide_ade20k.py'
crop_size = (640, 640)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(2048, 640), ratio_range=(.5, 2.), resize_type='mmseg.Resize', keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.75),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.Resize', scale=(2048, 640), keep_ratio=True),
    dict(type='mmseg.LoadAnnotations', reduce_zero_label=True),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        _delete_=True,
        type='densevit.ViTAdapter',
        form='segmentation',
        gate_init=1e-6,
        drop_path_rate=.3,
        vit=dict(
            name='beit_large_patch16_224.in22k_ft_in22k',
            pretrained=True,
            pos_embed_antialias=False,
            keep_prefix=True)),
    test_cfg=dict(crop_size=crop_size, stride=(426, 426)))

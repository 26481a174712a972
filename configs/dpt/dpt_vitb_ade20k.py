# DPT with ViT-B/16 (arXiv:2010.11929) on ADE20K, 512x512.
#
# paper: Vision Transformers for Dense Prediction, arXiv:2103.13413.
# published: 47.0 mIoU, mmsegmentation's model zoo, single scale; the paper has no ViT-B and trains otherwise.
# hardware: 8x V100 with 2 images each, 8 GB each.
# command: tools/dist_train.sh configs/dpt/dpt_vitb_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/dpt/dpt_vitb_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/preprocessors/label_maps.py',
    '../_base_/datasets/ade20k_crop_512.py', '../_base_/schedules/adamw_poly_160k.py'
]
model = dict(
    type='densevit.PixelSegmentor',
    num_classes=150,
    # With mmsegmentation's mean and deviation, though these weights were trained with 127.5.
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_base_patch16_224.orig_in21k_ft_in1k',
        pretrained=True,
        img_size=(512, 512),
        norm_out=False,
        out_indices=(2, 5, 8, 11)),
    # The published model has no auxiliary loss; the paper's is aux_level=-2 with criterion=dict(aux_weight=.2).
    head=dict(type='densevit.DPTNet', readout='project', dropout=.1, aux_level=None),
    test_cfg=dict(mode='whole'))

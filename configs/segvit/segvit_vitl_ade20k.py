# SegViT-L on AugReg (arXiv:2106.10270), ADE20K, 640x640.
#
# paper: SegViT: Semantic Segmentation with Plain Vision Transformers, arXiv:2210.05844.
# published: 54.6 mIoU, the authors' repository (zbwxp/SegVit), single scale, windows of 640; 637.9 GFLOPs.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/segvit/segvit_vitl_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segvit/segvit_vitl_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'segvit_vitb_ade20k.py'
crop_size = (640, 640)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        name='vit_large_patch16_384', img_size=crop_size, drop_path_rate=.3, out_indices=(7, 15, 23)),
    head=dict(embed_dim=512, num_heads=16),
    test_cfg=dict(crop_size=crop_size, stride=(608, 608)))
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3] = dict(type='densevit.ScaleCropFlip', size=640, scale=(2048, 640))
test_pipeline[1] = dict(type='mmseg.Resize', scale=(2048, 640), keep_ratio=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# ViT-P-B with DINOv2 (arXiv:2304.07193) on ADE20K, 518x518, classifying the masks of EoMT-L (arXiv:2503.19108).
#
# paper: The Missing Point in Vision Transformers for Universal Image Segmentation, arXiv:2505.19795.
# published: no published number with this proposer; 58.6 mIoU with OneFormer and DiNAT-L, single scale.
# hardware: 4x A100 with 20 images each, less than 7 hours, from the authors' job.
# command: tools/dist_train.sh configs/vit_p/vit_p_vitb_eomt_vitl_ade20k.py 4 --amp
# 1 GPU: python tools/train.py configs/vit_p/vit_p_vitb_eomt_vitl_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=80
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/preprocessors/label_maps.py', '../_base_/datasets/ade20k_512.py',
    '../_base_/schedules/vit_p.py'
]
image_size = (518, 518)
# The authors take the whole image where a crop has no label, and blur no pixel in rotating or cutting it.
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(
        type='densevit.AlbumentationsTransform',
        transforms=[
            dict(type='RandomResizedCrop', size=image_size, scale=(.5, 1.), ratio=(.75, 1.3333)),
            dict(type='Rotate', limit=(-60, 60), border_mode=0, p=1.),
            dict(type='HorizontalFlip', p=.5)
        ]),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(batch_size=20, dataset=dict(pipeline=train_pipeline))
model = dict(
    type='densevit.MaskSegmentor',
    num_classes=150,
    data_preprocessor=dict(size=image_size),
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_base_patch14_dinov2',
        pretrained=True,
        img_size=image_size,
        pos_embed_antialias=False,
        pos_embed_offset=.1),
    head=dict(
        type='densevit.ViTP',
        num_points=250,
        image_size=image_size,
        proposer=dict(
            type='densevit.EoMT',
            num_queries=100,
            num_blocks=4,
            backbone=dict(
                type='densevit.PlainViT', name='vit_large_patch14_reg4_dinov2', patch_size=16, img_size=(512, 512))),
        proposer_weights='https://huggingface.co/tue-mps/ade20k_semantic_eomt_large_512/resolve/main/pytorch_model.bin'
    ),
    # Of the proposer: windows of the size that it was trained with.
    test_cfg=dict(mode='slide', crop_size=(512, 512)))

# MaskFormer with Swin-L (IN-21k), COCO panoptic segmentation.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 52.7 PQ, Cheng et al. 2021, model zoo of their code.
# hardware: 64x V100 with 1 image each, 23.3 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_swin_l_coco_panoptic.py 64
# 1 GPU: python tools/train.py configs/maskformer/maskformer_swin_l_coco_panoptic.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
#
# For memory, the longer sides of training images end at 1000 pixels with this backbone, else at 1333: the pipeline is
# coco_panoptic_detr.py's but for these scales.
_base_ = ['maskformer_swin_t_coco_panoptic.py']
resize = dict(
    type='RandomChoiceResize',
    scales=[(480, 1000), (512, 1000), (544, 1000), (576, 1000), (608, 1000), (640, 1000), (672, 1000), (704, 1000),
            (736, 1000), (768, 1000), (800, 1000)],
    resize_type='densevit.ResizeSegments',
    keep_ratio=True)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='LoadImageFromFile'),
    dict(type='densevit.LoadPanopticSegments'),
    dict(
        type='densevit.UntilSegments',
        transforms=[
            dict(type='mmdet.RandomFlip', prob=.5),
            dict(
                type='RandomChoice',
                transforms=[
                    [resize],
                    [
                        dict(
                            type='RandomChoiceResize', scales=[(400, 9999), (500, 9999), (600, 9999)],
                            resize_type='densevit.ResizeSegments', keep_ratio=True),
                        dict(
                            type='mmdet.RandomCrop', crop_type='absolute_range', crop_size=(384, 600),
                            allow_negative_crop=True),
                        resize
                    ]
                ])
        ]),
    dict(type='mmdet.PackDetInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(backbone=dict(name='swin_large_patch4_window12_384.ms_in22k'))

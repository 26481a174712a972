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
# For memory, the longer sides of training images end at 1000 pixels with this backbone, else at 1333.
_base_ = ['maskformer_swin_t_coco_panoptic.py']
train_pipeline = _base_.train_pipeline
whole, cropped = train_pipeline[3]['transforms'][1]['transforms']
for resize in (whole[0], cropped[2]):
    resize['scales'] = [(side, 1000) for side, _ in resize['scales']]
del whole, cropped, resize
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(backbone=dict(name='swin_large_patch4_window12_384.ms_in22k'))

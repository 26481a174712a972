# MaskFormer with ResNet-50 and six encoder layers, COCO panoptic segmentation.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 46.5 PQ, Cheng et al. 2021, model zoo of their code.
# hardware: 64x V100 with 1 image each, 22.6 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_r50_coco_panoptic.py 64
# 1 GPU: python tools/train.py configs/maskformer/maskformer_r50_coco_panoptic.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
#
# Batch norms keep the statistics of the pre-training. The authors freeze scales and shifts as well, which learn here.
_base_ = ['maskformer_swin_t_coco_panoptic.py']
model = dict(
    backbone=dict(
        _delete_=True, type='densevit.TimmPyramid', name='resnet50.tv_in1k', pretrained=True, norm_eval=True),
    head=dict(encoder_layers=6))
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=1e-4), paramwise_cfg=dict(backbone_lr_mult=.1))
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[369600], gamma=.1)]

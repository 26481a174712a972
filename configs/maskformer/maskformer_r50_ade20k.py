# MaskFormer with ResNet-50, ADE20K, 512x512.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 44.5 mIoU, Cheng et al. 2021, model zoo of their code, single scale.
# hardware: 8x V100 with 2 images each, 4.3 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_r50_ade20k.py 8
# 1 GPU: python tools/train.py configs/maskformer/maskformer_r50_ade20k.py \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# Batch norms keep the statistics of the pre-training. The authors freeze scales and shifts as well, which learn here.
_base_ = ['maskformer_swin_t_ade20k.py']
model = dict(
    backbone=dict(
        _delete_=True, type='densevit.TimmPyramid', name='resnet50.tv_in1k', pretrained=True, norm_eval=True))
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=1e-4), paramwise_cfg=dict(backbone_lr_mult=.1))
param_scheduler = [dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False)]

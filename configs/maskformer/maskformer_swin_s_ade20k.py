# MaskFormer with Swin-S, ADE20K, 512x512.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 49.8 mIoU, Cheng et al. 2021, model zoo of their code, single scale.
# hardware: 8x V100 with 2 images each, 6.3 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_swin_s_ade20k.py 8
# 1 GPU: python tools/train.py configs/maskformer/maskformer_swin_s_ade20k.py \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = ['maskformer_swin_t_ade20k.py']
model = dict(backbone=dict(name='swin_small_patch4_window7_224.ms_in1k'))

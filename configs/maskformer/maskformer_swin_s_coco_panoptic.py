# MaskFormer with Swin-S, COCO panoptic segmentation.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 49.7 PQ, Cheng et al. 2021, model zoo of their code.
# hardware: 64x V100 with 1 image each, 21.6 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_swin_s_coco_panoptic.py 64
# 1 GPU: python tools/train.py configs/maskformer/maskformer_swin_s_coco_panoptic.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = ['maskformer_swin_t_coco_panoptic.py']
model = dict(backbone=dict(name='swin_small_patch4_window7_224.ms_in1k'))

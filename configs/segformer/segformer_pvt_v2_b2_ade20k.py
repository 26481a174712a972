# SegFormer's decoder on PVT v2-B2 (arXiv:2106.13797) on ADE20K, 512x512.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: no published number for this backbone; the paper's own, MiT-B2, has 46.5 mIoU.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_pvt_v2_b2_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_pvt_v2_b2_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'segformer_mitb0_ade20k.py'
model = dict(
    backbone=dict(name='pvt_v2_b2', pretrained=True, init_cfg=None),
    head=dict(width=768))

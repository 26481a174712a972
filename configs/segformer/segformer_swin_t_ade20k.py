# SegFormer's decoder on Swin-T (arXiv:2103.14030) on ADE20K, 512x512.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: no published number for this backbone.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_swin_t_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_swin_t_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'segformer_pvt_v2_b2_ade20k.py'
model = dict(
    backbone=dict(name='swin_tiny_patch4_window7_224', norm_out=True, drop_path_rate=.3),
    head=dict(width=256))

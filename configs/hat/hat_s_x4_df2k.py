# HAT-S for super-resolution x4, trained on DF2K.
#
# paper: Activating More Pixels in Image Super-Resolution Transformer, arXiv:2205.04437.
# published: 32.92 PSNR, the authors' repository, Set5; 29.15, 27.97, 27.87 and 32.35 on Set14, BSD100, Urban100 and
#   Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/hat/hat_s_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/hat/hat_s_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.HAT', scale=4, embed_dim=144, compress_ratio=24, squeeze_factor=24))

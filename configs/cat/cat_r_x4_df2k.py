# CAT-R for super-resolution x4, trained on DF2K.
#
# paper: Cross Aggregation Transformer for Image Restoration, arXiv:2211.13654.
# published: 32.89 PSNR, table 2, Set5; 29.13, 27.95, 27.62 and 32.16 on Set14, BSD100, Urban100 and Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/cat/cat_r_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/cat/cat_r_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.CAT', scale=4))

# DRCT for super-resolution x4, trained on DF2K.
#
# paper: DRCT: Saving Image Super-resolution away from Information Bottleneck, arXiv:2404.00722.
# published: 33.11 PSNR, the authors' repository, Set5; 29.35, 28.18, 28.06 and 32.59 on Set14, BSD100, Urban100 and
#   Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/drct/drct_m_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/drct/drct_m_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.DRCT', scale=4))

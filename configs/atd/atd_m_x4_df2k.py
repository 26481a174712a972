# ATD for super-resolution x4, trained on DF2K.
#
# paper: Transcending the Limit of Local Window: Advanced Super-Resolution Transformer with Adaptive Token Dictionary,
#   arXiv:2401.08209.
# published: 33.10 PSNR, table 2, Set5; 29.24, 28.01, 28.17 and 32.62 on Set14, BSD100, Urban100 and Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/atd/atd_m_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/atd/atd_m_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.ATD', scale=4))

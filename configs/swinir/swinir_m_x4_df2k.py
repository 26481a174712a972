# SwinIR for classical super-resolution x4, trained on DF2K.
#
# paper: SwinIR: Image Restoration Using Swin Transformer, arXiv:2108.10257.
# published: 32.92 PSNR, table 2, Set5; 29.09, 27.92, 27.45 and 32.03 on Set14, BSD100, Urban100 and Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/swinir/swinir_m_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/swinir/swinir_m_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.SwinIR', scale=4, upsampler='pixelshuffle'))

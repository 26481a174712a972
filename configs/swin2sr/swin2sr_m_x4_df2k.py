# Swin2SR for classical super-resolution x4, trained on DF2K.
#
# paper: Swin2SR: SwinV2 Transformer for Compressed Image Super-Resolution and Restoration, arXiv:2209.11345.
# published: no published number for this data here.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/swin2sr/swin2sr_m_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/swin2sr/swin2sr_m_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.Swin2SR', scale=4, upsampler='pixelshuffle'))

# SwinIR for super-resolution x4 of pictures from the world, first stage: L1.
#
# paper: SwinIR: Image Restoration Using Swin Transformer, arXiv:2108.10257.
# published: no published number. The authors make images worse by BSRGAN's pipeline; here Real-ESRGAN's.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/swinir/swinir_m_real_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/swinir/swinir_m_real_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/real_x4_df2k.py'
model = dict(head=dict(type='densevit.SwinIR', scale=4, upsampler='nearest+conv'))

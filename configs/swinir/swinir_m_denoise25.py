# SwinIR for denoising colour images at sigma 25.
#
# paper: SwinIR: Image Restoration Using Swin Transformer, arXiv:2108.10257.
# published: 31.78 PSNR, table 6, CBSD68.
# hardware: for 8 GPUs with 1 patch each.
# command: tools/dist_train.sh configs/swinir/swinir_m_denoise25.py 8
# 1 GPU: python tools/train.py configs/swinir/swinir_m_denoise25.py \
#     --cfg-options train_dataloader.batch_size=8
# not trained here.
_base_ = '../_base_/recipes/denoise25_dfwb.py'
model = dict(head=dict(type='densevit.SwinIR'))

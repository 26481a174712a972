# HiT-SRF for super-resolution x4, trained on DF2K.
#
# paper: HiT-SR: Hierarchical Transformer for Efficient Image Super-Resolution, arXiv:2407.05973.
# published: 32.63 PSNR, the authors' repository, Set5, trained on DF2K; 28.96, 27.78, 27.00 and 31.55 on Set14, BSD100,
#   Urban100 and Manga109.
# hardware: for 4 GPUs with 16 patches each; the authors begin with their network for x2.
# command: tools/dist_train.sh configs/hit/hit_srf_x4_df2k.py 4
# 1 GPU: python tools/train.py configs/hit/hit_srf_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.HiTSR', scale=4))
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=5e-4))

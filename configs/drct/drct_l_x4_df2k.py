# DRCT-L for super-resolution x4, trained on DF2K; the authors pre-train it on ImageNet.
#
# paper: DRCT: Saving Image Super-resolution away from Information Bottleneck, arXiv:2404.00722.
# published: 33.37 PSNR, the authors' repository, Set5, pre-trained on ImageNet; 29.54, 28.16, 28.70 and 33.14 on
#   Set14, BSD100, Urban100 and Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/drct/drct_l_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/drct/drct_l_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(head=dict(type='densevit.DRCT', scale=4, num_groups=12))

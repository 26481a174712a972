# SwinIR of the light form for super-resolution x4. The authors train it on DIV2K; here on DF2K.
#
# paper: SwinIR: Image Restoration Using Swin Transformer, arXiv:2108.10257.
# published: 32.44 PSNR, table 3, Set5, trained on DIV2K; 28.77, 27.69, 26.47 and 30.92 on Set14, BSD100, Urban100 and
#   Manga109.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/swinir/swinir_s_x4_df2k.py 8
# 1 GPU: python tools/train.py configs/swinir/swinir_s_x4_df2k.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/sr_x4_df2k.py'
model = dict(
    head=dict(
        type='densevit.SwinIR',
        scale=4,
        embed_dim=60,
        depths=(6, 6, 6, 6),
        upsampler='pixelshuffledirect'))

# HiT-SNG for super-resolution x4, trained on DIV2K: its 800 images in data/DIV2K/HR.
#
# paper: HiT-SR: Hierarchical Transformer for Efficient Image Super-Resolution, arXiv:2407.05973.
# published: 26.75 PSNR, the authors' repository, Urban100.
# hardware: for 4 GPUs with 16 patches each; the authors begin with their network for x2.
# command: tools/dist_train.sh configs/hit/hit_sng_x4_div2k.py 4
# 1 GPU: python tools/train.py configs/hit/hit_sng_x4_div2k.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = './hit_srf_x4_df2k.py'
model = dict(head=dict(conv_ffn=False, ngrams=True))
train_dataloader = dict(dataset=dict(data_root='data/DIV2K'))

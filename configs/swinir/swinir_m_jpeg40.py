# SwinIR for the removal of JPEG artefacts at quality 40 of grey images.
#
# paper: SwinIR: Image Restoration Using Swin Transformer, arXiv:2108.10257.
# published: 34.52 PSNR, table 4, Classic5.
# hardware: for 8 GPUs with 1 patch each.
# command: tools/dist_train.sh configs/swinir/swinir_m_jpeg40.py 8
# 1 GPU: python tools/train.py configs/swinir/swinir_m_jpeg40.py \
#     --cfg-options train_dataloader.batch_size=8
# not trained here.
_base_ = '../_base_/recipes/jpeg40_dfwb.py'
model = dict(head=dict(type='densevit.SwinIR', in_channels=1, window_size=7, img_range=255.))

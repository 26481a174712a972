# SwinIR, pre-trained to restore images half of whose squares of 16 pixels are hidden and to tell how they were degraded.
# Any config of the same network begins from it with --load-from. Other networks of restoration take the place of the
# head; what makes images of features has another name in some, which paramwise_cfg then needs.
#
# paper: Universal Image Restoration Pre-training via Masked Degradation Classification, arXiv:2510.13282.
# published: no published number for these degradations. The authors learn from 2.5 million images with 19 kinds.
# hardware: 4 GPUs with 4 patches of 256 pixels each.
# command: tools/dist_train.sh configs/maskdcpt/swinir_m_maskdcpt.py 4
# 1 GPU: python tools/train.py configs/maskdcpt/swinir_m_maskdcpt.py --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = '../_base_/recipes/maskdcpt_dfwb.py'
model = dict(head=dict(type='densevit.SwinIR'))

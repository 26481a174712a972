# SwinIR, pre-trained with masks, trained on whole images: all layers as this file stands; those that
# tools/rank_layers.py chooses, with the file that it writes. How many the paper takes was not checked.
#
# paper: Restore Anything with Masks, arXiv:2409.19403.
# published: no published number. The authors learn seven degradations, six of them from pairs that are not made here.
# hardware: for 8 GPUs with 12 patches each.
# command: tools/dist_train.sh configs/ram/swinir_m_ram_finetune.py 8 --load-from PRETRAINED.pth
# 1 GPU: python tools/train.py configs/ram/swinir_m_ram_finetune.py --load-from PRETRAINED.pth \
#     --cfg-options train_dataloader.batch_size=96
# not trained here.
_base_ = '../_base_/recipes/ram_dfwb.py'
model = dict(head=dict(type='densevit.SwinIR'))

# Mask2Former with Swin-L (IN-21k), ADE20K, 640x640.
#
# paper: Masked-attention Mask Transformer for Universal Image Segmentation, arXiv:2112.01527.
# published: 56.1 mIoU, Cheng et al. 2022, model zoo of their code, single scale.
# hardware: 16x V100 with 1 image each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/mask2former_swin_l_ade20k.py 16 --amp
# 1 GPU: python tools/train.py configs/mask2former/mask2former_swin_l_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/mask2former_swin.py', '../_base_/datasets/ade20k_shortest_640.py',
    '../_base_/schedules/mask2former_ade20k_160k.py'
]
train_dataloader = dict(batch_size=1)
model = dict(
    num_classes=150,
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(name='swin_large_patch4_window12_384.ms_in22k'))

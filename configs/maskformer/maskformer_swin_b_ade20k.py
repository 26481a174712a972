# MaskFormer with Swin-B (IN-21k), ADE20K, 640x640.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 52.7 mIoU, Cheng et al. 2021, model zoo of their code, single scale.
# hardware: 8x V100 with 2 images each, 12.9 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_swin_b_ade20k.py 8
# 1 GPU: python tools/train.py configs/maskformer/maskformer_swin_b_ade20k.py \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/maskformer.py', '../_base_/datasets/ade20k_shortest_640.py',
    '../_base_/schedules/maskformer_ade20k_160k.py'
]
model = dict(
    num_classes=150,
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(name='swin_base_patch4_window12_384.ms_in22k'))

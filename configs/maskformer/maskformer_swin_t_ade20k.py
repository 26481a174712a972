# MaskFormer with Swin-T, ADE20K, 512x512.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 46.7 mIoU, Cheng et al. 2021, model zoo of their code, single scale.
# hardware: 8x V100 with 2 images each, 5.3 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_swin_t_ade20k.py 8
# 1 GPU: python tools/train.py configs/maskformer/maskformer_swin_t_ade20k.py \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/maskformer.py', '../_base_/datasets/ade20k_shortest_512.py',
    '../_base_/schedules/maskformer_ade20k_160k.py'
]
model = dict(num_classes=150, data_preprocessor=dict(size=(512, 512)))

# Shrunk SegViT-L on AugReg (arXiv:2106.10270), ADE20K, 640x640.
#
# paper: SegViT: Semantic Segmentation with Plain Vision Transformers, arXiv:2210.05844.
# published: 53.9 mIoU, the authors' repository (zbwxp/SegVit), single scale, windows of 640; 373.5 GFLOPs.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/segvit/segvit_shrunk_vitl_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segvit/segvit_shrunk_vitl_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'segvit_vitl_ade20k.py'
model = dict(
    backbone=dict(out_indices=(23, )),  # the network takes what it needs between the blocks
    head=dict(type='densevit.SegViTShrunk', shrink_block=8, query_grid=40))

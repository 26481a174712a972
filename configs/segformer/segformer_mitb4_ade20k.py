# SegFormer-B4 on ADE20K, 512x512.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: 50.3 mIoU, table 1; one scale.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_mitb4_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_mitb4_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'segformer_mitb0_ade20k.py'
model = dict(
    backbone=dict(
        name='mit_b4',
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b4_20220624-d588d980.pth')),
    head=dict(width=768))

# SegFormer-B1 on ADE20K, 512x512.
#
# paper: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers, arXiv:2105.15203.
# published: 42.2 mIoU, table 1; one scale.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/segformer/segformer_mitb1_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/segformer/segformer_mitb1_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'segformer_mitb0_ade20k.py'
model = dict(
    backbone=dict(
        name='mit_b1',
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b1_20220624-02e5a6a1.pth')))

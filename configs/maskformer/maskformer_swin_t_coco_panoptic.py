# MaskFormer with Swin-T, COCO panoptic segmentation.
#
# paper: Per-Pixel Classification is Not All You Need for Semantic Segmentation, arXiv:2107.06278.
# published: 47.7 PQ, Cheng et al. 2021, model zoo of their code.
# hardware: 64x V100 with 1 image each, 20.0 GB per GPU; time was not published.
# command: tools/dist_train.sh configs/maskformer/maskformer_swin_t_coco_panoptic.py 64
# 1 GPU: python tools/train.py configs/maskformer/maskformer_swin_t_coco_panoptic.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/maskformer_segments.py',
    '../_base_/datasets/coco_panoptic_detr.py', '../_base_/schedules/maskformer_coco_554k.py'
]
model = dict(task='panoptic', num_classes=133, stuff_classes=list(range(80, 133)))

# Mask2Former (arXiv:2112.01527) with ViT-Adapter-L on DINOv2, COCO panoptic segmentation, 640x640.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 57.1 PQ, Kerssies et al. 2025, Table 1: the baseline of EoMT.
# hardware: 4 GPUs with 4 images each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/mask2former_vitadapter_l_dinov2_coco_panoptic_640.py 4 --amp
# 1 GPU: python tools/train.py configs/mask2former/mask2former_vitadapter_l_dinov2_coco_panoptic_640.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/mask2former_vitadapter_segments.py',
    '../_base_/datasets/coco_panoptic_640.py', '../_base_/schedules/eomt_dinov2_coco.py'
]
model = dict(num_classes=133, stuff_classes=list(range(80, 133)))
custom_hooks = []  # masked attention is never annealed here

# Mask2Former (arXiv:2112.01527) with ViT-CoMer-B on DINOv2, COCO panoptic segmentation, 640x640.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: no published number for this combination.
# hardware: 4 GPUs with 4 images each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/mask2former_vitcomer_b_dinov2_coco_panoptic_640.py 4 --amp
# 1 GPU: python tools/train.py configs/mask2former/mask2former_vitcomer_b_dinov2_coco_panoptic_640.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The recipe of mask2former_vitadapter_b_dinov2_coco_panoptic_640.py with ViT-CoMer (arXiv:2403.07392).
_base_ = ['mask2former_vitadapter_b_dinov2_coco_panoptic_640.py']
model = dict(backbone=dict(type='densevit.ViTCoMer'))

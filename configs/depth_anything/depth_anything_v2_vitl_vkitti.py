# Depth Anything V2 around DINOv2-L in metres: streets, up to 80 m; 518 pixels, 335.3 M parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number of these weights.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vitl_vkitti.py 8 --amp
# not trained here.
#
# It begins with the relative model: --load-from depth_anything_v2_vitl.pth. The paper's figures are of other weights,
# trained on NYUv2 and KITTI. The published weights come without terms of their own; the model that they began with is
# CC-BY-NC-4.0.
_base_ = '../_base_/recipes/depth_anything_vkitti.py'
model = dict(
    backbone=dict(name='vit_large_patch14_dinov2', out_indices=(4, 11, 17, 23)),
    head=dict(channels=(256, 512, 1024, 1024), width=256))

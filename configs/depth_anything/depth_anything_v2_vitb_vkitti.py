# Depth Anything V2 around DINOv2-B in metres: streets, up to 80 m; 518 pixels, 97.5 M parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number of these weights.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vitb_vkitti.py 8 --amp
# not trained here.
#
# It begins with the relative model: --load-from depth_anything_v2_vitb.pth. The paper's figures are of other weights,
# trained on NYUv2 and KITTI. The published weights come without terms of their own; the model that they began with is
# CC-BY-NC-4.0.
_base_ = '../_base_/recipes/depth_anything_vkitti.py'
model = dict(
    backbone=dict(name='vit_base_patch14_dinov2', out_indices=(2, 5, 8, 11)),
    head=dict(channels=(96, 192, 384, 768), width=128))

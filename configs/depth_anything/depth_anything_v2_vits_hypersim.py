# Depth Anything V2 around DINOv2-S in metres: rooms, up to 20 m; 518 pixels, 24.8 M parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number of these weights.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vits_hypersim.py 8 --amp
# not trained here.
#
# It begins with the relative model: --load-from depth_anything_v2_vits.pth. The paper's figures are of other weights,
# trained on NYUv2 and KITTI. The published weights come without terms of their own; the model that they began with is
# Apache-2.0.
_base_ = '../_base_/recipes/depth_anything_hypersim.py'

# Depth of a frozen DINOv2-S on NYUv2: a linear map of four blocks to 256 bins.
#
# paper: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193.
# published: no published number checked here.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/dinov2_depth/dinov2_vits_linear_nyu.py 8 --amp
# not trained here.
#
# The authors' heads (Apache-2.0) are published without the backbone; for KITTI, max_depth=80.
_base_ = '../_base_/recipes/dinov2_depth.py'
model = dict(
    head=dict(
        type='densevit.LinearDepth', bins=dict(num_bins=256, spacing='linear', norm='linear'), max_depth=10.))

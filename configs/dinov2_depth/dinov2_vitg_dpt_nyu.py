# Depth of a frozen DINOv2-g on NYUv2: DPT.
#
# paper: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193.
# published: 0.279 RMSE, table 11.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/dinov2_depth/dinov2_vitg_dpt_nyu.py 8 --amp
# not trained here.
#
# The authors' heads (Apache-2.0) are published without the backbone; for KITTI, max_depth=80.
_base_ = '../_base_/recipes/dinov2_depth.py'
model = dict(
    backbone=dict(name='vit_giant_patch14_dinov2', frozen_stages=40, out_indices=(9, 19, 29, 39)),
    head=dict(
        type='densevit.DPTDepth', channels=(192, 384, 768, 1536), readout='project', doubles=True, project=True,
        unit_bias=False, min_depth=1e-3, max_depth=10.))

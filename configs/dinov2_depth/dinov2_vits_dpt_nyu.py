# Depth of a frozen DINOv2-S on NYUv2: DPT.
#
# paper: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193.
# published: 0.356 RMSE, table 11.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/dinov2_depth/dinov2_vits_dpt_nyu.py 8 --amp
# not trained here.
#
# The authors' heads (Apache-2.0) are published without the backbone; for KITTI, max_depth=80.
_base_ = '../_base_/recipes/dinov2_depth.py'
model = dict(
    head=dict(
        type='densevit.DPTDepth', channels=(48, 96, 192, 384), readout='project', doubles=True, project=True,
        unit_bias=False, min_depth=1e-3, max_depth=10.))

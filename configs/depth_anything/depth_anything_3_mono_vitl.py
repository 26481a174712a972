# Depth Anything 3 of one view around DINOv2-L: relative depth and the sky; 0.35 B parameters.
#
# paper: Depth Anything 3: Recovering the Visual Space from Any Views, arXiv:2511.10647.
# published: no published number checked here.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_3_mono_vitl.py 8 --amp
# not trained here.
#
# Weights: Apache-2.0. Depth, not disparity: farther is larger.
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_large_patch14_dinov2', out_indices=(4, 11, 17, 23)),
    head=dict(
        channels=(256, 512, 1024, 1024), width=256, kind='relative_depth', activation='exp', sky=True,
        sky_threshold=.3))
val_evaluator = dict(kind='relative_depth', alignment='least_squares')
test_evaluator = val_evaluator

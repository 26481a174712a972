# Depth Anything 3 in metres around DINOv2-L, and the sky; 0.35 B parameters.
#
# paper: Depth Anything 3: Recovering the Visual Space from Any Views, arXiv:2511.10647.
# published: 0.078 AbsRel, 0.950 delta1, NYUv2 zero-shot in Eigen's crop, lightly-train's README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_3_metric_vitl.py 8 --amp
# not trained here.
#
# Weights: Apache-2.0. What it gives is metres at a focal length of 300 pixels: tell the camera, for metres are
# focal * output / 300.
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_large_patch14_dinov2', out_indices=(4, 11, 17, 23)),
    head=dict(
        channels=(256, 512, 1024, 1024), width=256, kind='metric', activation='exp', sky=True, sky_threshold=.3,
        canonical_focal=300.))
val_evaluator = dict(_delete_=True, type='densevit.DepthErrorMetric', max_depth=80.)
test_evaluator = val_evaluator

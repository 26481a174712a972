# A tiny DPT (arXiv:2103.13413) that learns relative depth from a larger model, as Depth Anything V2's small ones do
# (arXiv:2406.09414, section 5): scale- and shift-invariant loss and gradient matching at a weight of 2 to 1.
#
# The network and the schedule are those of dpt_tiny_indoor. Any teacher goes: it labels a folder of pictures, of which
# the second command trains and a tenth validates. Without --data it learns from NYU's and RedKitchen's own depth.
#
# Teacher:  python tools/label_depth.py photos/ --model depth_anything_v2_vits --out data/labelled
# Command:  python tools/train.py configs/tiny/dpt_tiny_student.py --data data/labelled --amp
# Not trained here.
_base_ = 'dpt_tiny_indoor.py'
model = dict(
    head=dict(kind='relative_disparity', activation='relu', canonical_focal=None),
    criterion=dict(_delete_=True, ssi=1., gradient=2.))
val_evaluator = dict(kind='relative_disparity', alignment='least_squares_disparity')
test_evaluator = val_evaluator

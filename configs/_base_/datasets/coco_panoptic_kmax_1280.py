# COCO 2017, panoptic, augmented as kMaX-DeepLab (arXiv:2207.04044) does in the authors' code: a scale of 0.2 to 2 times
# the crop's, a change of colours, a crop, a flip. The data preprocessor of kmax_r50.py pads what is smaller than the
# crop, after the normalisation, in training and in evaluation.
#
# The authors also paste segments of another image, shrunk to half the scale, into each. Where a crop has few labels (at
# most 4096 pixels, counted in every fourth row and column), they take another image; here a crop without any label is
# drawn again.
_base_ = 'coco_panoptic_640.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3] = dict(type='densevit.ScaleColourCropFlip', size=1280, scales=(.2, 2.))
test_pipeline[1] = dict(type='mmdet.Resize', scale=(1280, 1280), keep_ratio=True, backend='pillow')
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# ADE20K augmented as Mask2Former (arXiv:2112.01527, section 4.1) does: a shorter side of 0.5 to 2 times the crop's 640
# pixels; grey pads; whole images with a shorter side of 640 for evaluation.
_base_ = 'ade20k_shortest_512.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3] = dict(type='densevit.ShortestSideCrop', size=640, longest=2560)
test_pipeline[1] = dict(type='mmseg.Resize', scale=(2560, 640), keep_ratio=True, backend='pillow')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

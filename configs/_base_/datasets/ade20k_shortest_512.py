# ADE20K augmented as Mask2Former (arXiv:2112.01527, section 4.1) does: a shorter side of 0.5 to 2 times the crop's 512
# pixels; grey pads; whole images with a shorter side of 512 for evaluation.
_base_ = 'ade20k_512.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3:5] = [dict(type='densevit.ShortestSideCrop', size=512, longest=2048)]
test_pipeline[1] = dict(type='mmseg.Resize', scale=(2048, 512), keep_ratio=True, backend='pillow')
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# COCO 2017, instances, augmented as Mask2Former (arXiv:2112.01527, section 4.1) does: a scale of 0.1 to 2 times the
# crop's 1024 pixels, grey pads; whole images with a shorter side of 800 for evaluation. The authors keep a crop without
# any segment, here another one is drawn.
_base_ = 'coco_instance_640.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3] = dict(type='densevit.ScaleJitterCrop', size=1024, pad=128)
test_pipeline[1] = dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True, backend='pillow')
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

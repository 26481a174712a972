# ADE20K augmented as mmsegmentation does: a shorter side of 256 to 1024 pixels, crops of 512 of which no class fills
# more than three quarters; whole images with a shorter side of 512 for evaluation.
_base_ = 'ade20k_512.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3:5] = [dict(type='densevit.ScaleCropFlip', size=512, scale=(2048, 512))]
test_pipeline[1] = dict(type='mmseg.Resize', scale=(2048, 512), keep_ratio=True)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

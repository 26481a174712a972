# ADE20K augmented as Mask2Former (arXiv:2112.01527, section 4.1) does: a shorter side of 0.5 to 2 times the crop's 512
# pixels; grey pads; whole images with a shorter side of 512 for evaluation.
_base_ = 'ade20k_512.py'
crop_size = (512, 512)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(2048, int(share * .1 * 512)) for share in range(5, 21)],
        resize_type='mmseg.Resize',
        keep_ratio=True,
        backend='pillow'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='Pad', size=crop_size, pad_val=dict(img=128, seg=255)),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(2048, 512), keep_ratio=True, backend='pillow'),
    dict(type='mmseg.LoadAnnotations'),  # after Resize: predictions are compared at the original size
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

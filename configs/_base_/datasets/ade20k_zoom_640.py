# ADE20K as DINOv2 (arXiv:2304.07193) sees it with several scales: a shorter side of 640 to 1920 pixels and crops of
# 640; images with a shorter side of 640 for evaluation, and of 640 to 1920, mirrored too, with --tta.
_base_ = 'ade20k_512.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
# The shorter side is what counts: only an image 15 times as long as wide meets the bound of the longer one.
train_pipeline[3:5] = [dict(type='densevit.ScaleCropFlip', size=640, scale=(9999, 640), ratio_range=(1., 3.))]
test_pipeline[1] = dict(type='mmseg.Resize', scale=(9999, 640), keep_ratio=True)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
tta_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='mmseg.Resize', scale=(9999, int(640 * ratio)), keep_ratio=True)
                for ratio in (1., 1.32, 1.73, 2.28, 3.)
            ],
            [dict(type='RandomFlip', prob=0., direction='horizontal'),
             dict(type='RandomFlip', prob=1., direction='horizontal')],
            [dict(type='mmseg.LoadAnnotations')],
            [dict(type='mmseg.PackSegInputs')]
        ])
]

# Eight images of COCO with 22 objects of 17 of its classes, learned by heart, for mmdetection's own detectors: the images of
# overfit/rfdetr_seg_coco8, the metric and the loop. The bases of these detectors bring a run of their own, so that a
# config takes each part in its place: train_cfg = _base_.eight.train_cfg.
scale = (256, 256)
learned = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=False),
    dict(type='mmdet.PackDetInputs')
]
shown = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=False),
    dict(type='densevit.PackWithTruth')
]
images = dict(
    type='densevit.CocoInstanceDataset',
    data_root='data/coco_tiny',
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='images/train2017'),
    indices=[47, 50, 51, 52, 53, 54, 56, 57])
eight = dict(
    train_dataloader=dict(
        _delete_=True,
        batch_size=4,
        num_workers=0,
        sampler=dict(type='densevit.PositionSampler'),
        dataset=dict(images, pipeline=learned)),
    test_dataloader=dict(
        _delete_=True,
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(images, pipeline=shown, test_mode=True)))

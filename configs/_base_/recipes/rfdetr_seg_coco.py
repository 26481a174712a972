# RF-DETR-Seg on COCO (arXiv:2511.09554, and rfdetr's own defaults): RF-DETR with patches of 12 pixels and a mask of each
# query at a quarter of the resolution. Here the small, squares of 384 pixels.
_base_ = 'rfdetr_coco.py'
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
sizes = [(side, side) for side in range(312, 481, 24)]
train_pipeline[2]['with_mask'] = True
train_pipeline[4]['transforms'][0][0]['scales'] = sizes
train_pipeline[4]['transforms'][1][2]['scales'] = sizes
train_dataloader = dict(dataset=dict(with_masks=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(with_masks=True, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(with_masks=True, pipeline=test_pipeline))
val_evaluator = dict(metric='segm')
test_evaluator = val_evaluator
model = dict(
    data_preprocessor=dict(pad_size_divisor=24),
    backbone=dict(patch_size=12),
    head=dict(type='densevit.RFDETRSeg', num_queries=100, num_layers=4),
    test_cfg=dict(top_k=100))

# RF-DETR-Seg-N on COCO: boxes and masks, squares of 312 pixels.
#
# paper: RF-DETR: Neural Architecture Search for Real-Time Detection Transformers, arXiv:2511.09554.
# published: 40.3 mask AP, github.com/roboflow/rf-detr, README.md; after Objects365 with masks by SAM 2.
# hardware: 4 GPUs with 4 images each.
# command: tools/dist_train.sh configs/rfdetr/rfdetr_seg_nano_coco.py 4 --amp
# not trained here.
#
# Roboflow's checkpoints of N, S, M and L (Apache-2.0) load as they are; of their 91 classes, COCO's 80 are taken. Those
# of XL and 2XL are under PML-1.0, which is no open licence: there is no config of them.
_base_ = '../_base_/recipes/rfdetr_seg_coco.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
sizes = [(side, side) for side in range(240, 409, 24)]
train_pipeline[4]['transforms'][0][0]['scales'] = sizes
train_pipeline[4]['transforms'][1][2]['scales'] = sizes
test_pipeline[1]['scale'] = (312, 312)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    data_preprocessor=dict(pad_size_divisor=12),
    backbone=dict(img_size=312, num_windows=None, prefix_per_window=False, global_blocks=()))  # no windows

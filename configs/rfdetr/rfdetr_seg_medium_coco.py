# RF-DETR-Seg-M on COCO: boxes and masks, squares of 432 pixels.
#
# paper: RF-DETR: Neural Architecture Search for Real-Time Detection Transformers, arXiv:2511.09554.
# published: 45.3 mask AP, github.com/roboflow/rf-detr, README.md; after Objects365 with masks by SAM 2.
# hardware: 4 GPUs with 4 images each.
# command: tools/dist_train.sh configs/rfdetr/rfdetr_seg_medium_coco.py 4 --amp
# not trained here.
#
# Roboflow's checkpoints of N, S, M and L (Apache-2.0) load as they are; of their 91 classes, COCO's 80 are taken. Those
# of XL and 2XL are under PML-1.0, which is no open licence: there is no config of them.
_base_ = '../_base_/recipes/rfdetr_seg_coco.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
sizes = [(side, side) for side in range(360, 529, 24)]
train_pipeline[4]['transforms'][0][0]['scales'] = sizes
train_pipeline[4]['transforms'][1][2]['scales'] = sizes
test_pipeline[1]['scale'] = (432, 432)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    backbone=dict(img_size=432), head=dict(num_queries=200, num_layers=5), test_cfg=dict(top_k=200))

# RF-DETR-M on COCO, squares of 576 pixels: 33.7 M parameters, 4.4 ms on a T4 (TensorRT, fp16).
#
# paper: RF-DETR: Neural Architecture Search for Real-Time Detection Transformers, arXiv:2511.09554.
# published: 54.7 box AP, github.com/roboflow/rf-detr, README.md; after Objects365.
# hardware: 4 GPUs with 4 images each.
# command: tools/dist_train.sh configs/rfdetr/rfdetr_medium_coco.py 4 --amp
# not trained here.
#
# Roboflow's checkpoints of N, S, M and L (Apache-2.0) load as they are; of their 91 classes, COCO's 80 are taken. Those
# of XL and 2XL are under PML-1.0, which is no open licence: there is no config of them.
_base_ = '../_base_/recipes/rfdetr_coco.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
sizes = [(side, side) for side in range(480, 705, 32)]
train_pipeline[4]['transforms'][0][0]['scales'] = sizes
train_pipeline[4]['transforms'][1][2]['scales'] = sizes
test_pipeline[1]['scale'] = (576, 576)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(backbone=dict(img_size=576), head=dict(num_layers=4))

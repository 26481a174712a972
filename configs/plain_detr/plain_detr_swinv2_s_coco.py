# Plain DETR on COCO with Swin v2 S, a shorter side of 800 pixels, 12 epochs.
#
# paper: DETR Does Not Need Multi-Scale or Locality Design, arXiv:2308.01904.
# published: 50.9 box AP, table 2, with SimMIM pre-training; github.com/impiga/Plain-DETR.
# hardware: 16 GPUs with 1 image each, as the authors do: their code loses accuracy with more.
# command: tools/dist_train.sh configs/plain_detr/plain_detr_swinv2_s_coco.py 16
# not trained here.
#
# What differs: the weights begin with labels, with which (and without re-parameterised boxes) the paper reaches 46.1; the
# MLPs of position biases have weight decay. The authors' checkpoint (*_reparam.pth) loads into the network with
# backbone=dict(pretrained_window_sizes=(12, 12, 12, 6)), whose weights were made with smaller windows.
#
# For a plain ViT, backbone=dict(_delete_=True, type='densevit.PlainViT', ...) and head=dict(upsample=1); for a frozen one
# also head=dict(num_encoder_layers=6), as DINOv3 (arXiv:2508.10104) does.
_base_ = '../_base_/recipes/lwdetr_coco.py'
max_iters = 88716  # 12 epochs of 16 images
sizes = [(side, 1333) for side in range(480, 801, 32)]
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
resize = dict(type='RandomChoiceResize', scales=sizes, resize_type='mmdet.Resize', keep_ratio=True)
train_pipeline[4]['transforms'][0][0] = resize
train_pipeline[4]['transforms'][1][2] = resize
test_pipeline[1] = dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True)
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='densevit.TimmPyramid',
        name='swinv2_small_window16_256',
        pretrained=True,
        out_indices=3,
        norm_out=True,
        drop_path_rate=.1,
        global_blocks=(-2, -1),
        pretrained_window_sizes=(16, 16, 16, 8)),
    head=dict(
        _delete_=True,
        type='densevit.PlainDETR',
        embed_dim=256,
        num_queries=300,
        num_many_queries=1500,
        num_layers=6,
        num_heads=8,
        ffn_dim=2048,
        upsample=2),
    criterion=dict(num_repeats=6, many_weight=1.),
    test_cfg=dict(top_k=100))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=.05),
    paramwise_cfg=dict(
        _delete_=True, layer_decay=.9, rule='beit', no_decay=('vectors', 'logit_scale', 'level_embed')))
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', milestones=[81323], gamma=.1, by_epoch=False, begin=0, end=max_iters)
]
train_cfg = dict(max_iters=max_iters)
custom_hooks = []

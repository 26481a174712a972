# UperNet (arXiv:1807.10221) on ADE20K, 512x512, as ViT-Adapter and ViT-CoMer train it: mmseg's own model, data and
# runtime with another schedule. A config adds the backbone and the channels of its maps.
_base_ = [
    'mmseg::_base_/models/upernet_r50.py', 'mmseg::_base_/datasets/ade20k.py', 'mmseg::_base_/default_runtime.py',
    '../schedules/adamw_160k.py'
]
model = dict(
    pretrained=None,  # the backbone has weights of its own
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)))
train_dataloader = dict(batch_size=2)

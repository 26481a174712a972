# SegFormer (arXiv:2105.15203) with MiT-B0. A config adds the data and the schedule.
_base_ = '../preprocessors/label_maps.py'
model = dict(
    type='densevit.PixelSegmentor',
    num_classes=150,
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        type='densevit.TimmPyramid',
        name='mit_b0',
        drop_path_rate=.1,
        # ImageNet weights of the authors, as OpenMMLab offers them; mit_b0.pth of the authors and nvidia/mit-b0 do too.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b0_20220624-7e0fe6dd.pth')),
    head=dict(type='densevit.SegFormerNet', width=256),
    test_cfg=dict(mode='whole'))

# Restormer for rain, trained on Rain13K.
#
# paper: Restormer: Efficient Transformer for High-Resolution Image Restoration, arXiv:2111.09881.
# published: 31.46 PSNR, Rain100H; 38.99, 32.00, 34.18 and 33.19 on Rain100L, Test100, Test2800 and Test1200.
# hardware: for 8 GPUs with 8 patches of 128 pixels each, in the end 1 of 384.
# command: tools/dist_train.sh configs/restormer/restormer_derain.py 8
# 1 GPU: python tools/train.py configs/restormer/restormer_derain.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
#
# Pairs in data/Rain13K/train/{input,target}, Rain100H in data/Rain13K/test/Rain100H/{input,target}; PSNR of rounded luma.
# On true images alone (--data FOLDER with hq/), rain is made as they are read.
_base_ = '../_base_/recipes/restormer.py'
rain = [dict(type='densevit.SyntheticRain')]
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=128),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Degrade', steps=rain),
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', steps=rain, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    dataset=dict(
        type='densevit.RestorationDataset',
        data_root='data/Rain13K/train',
        hq='target',
        lq='input',
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type='densevit.RestorationDataset',
        data_root='data/Rain13K/test/Rain100H',
        hq='target',
        lq='input',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(y_channel=True, round_y=True)
test_evaluator = val_evaluator

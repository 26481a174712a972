# Restormer for denoising colour images at sigma 25, trained on DFWB.
#
# paper: Restormer: Efficient Transformer for High-Resolution Image Restoration, arXiv:2111.09881.
# published: 31.79 PSNR, CBSD68.
# hardware: for 8 GPUs with 8 patches of 128 pixels each, in the end 1 of 384.
# command: tools/dist_train.sh configs/restormer/restormer_denoise25.py 8
# 1 GPU: python tools/train.py configs/restormer/restormer_denoise25.py \
#     --cfg-options train_dataloader.batch_size=64
# not trained here.
#
# The authors' training for noise also mixes pairs of images (mixup), which is not done here.
# DIV2K, Flickr2K, BSD500 and WED in data/DFWB; CBSD68 in data/CBSD68 with noise that follows from the name of the file.
_base_ = '../_base_/recipes/restormer.py'
noise = [dict(type='densevit.GaussianNoise', sigma=25)]
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=128),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Degrade', steps=noise),
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', steps=noise, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    dataset=dict(type='densevit.RestorationDataset', data_root='data/DFWB', hq='HR', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type='densevit.RestorationDataset', data_root='data/CBSD68', hq='HR', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(head=dict(norm='bias_free'))

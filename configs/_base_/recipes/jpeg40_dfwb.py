# Removal of JPEG's artefacts at quality 40 of grey images as SwinIR trains it (KAIR's options): DIV2K, Flickr2K, BSD500
# and WED in data/DFWB, patches of 126 pixels, Charbonnier's loss, Adam, global batch 8. Validated on Classic5 in
# data/classic5; PSNR, SSIM and PSNR-B.
_base_ = './denoise25_dfwb.py'
jpeg = [dict(type='densevit.JPEGCompression', quality=40)]
test_pipeline = [
    dict(type='densevit.LoadPair', color_type='grayscale', keep_depth=True),
    dict(type='densevit.Degrade', steps=jpeg, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='densevit.SeedAugmentation'),
        dict(type='densevit.LoadPair', color_type='grayscale', keep_depth=True),
        dict(type='densevit.PairedCrop', size=126),
        dict(type='densevit.FlipAndTurn'),
        dict(type='densevit.Degrade', steps=jpeg),
        dict(type='densevit.PackPair')
    ]))
val_dataloader = dict(dataset=dict(data_root='data/classic5', hq='.', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.RestorationMetric', figures=('PSNR', 'SSIM', 'PSNRB'))
test_evaluator = val_evaluator

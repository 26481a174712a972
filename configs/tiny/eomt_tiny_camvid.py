# EoMT (arXiv:2503.19108) in miniature: an EfficientNet-Lite0 with ImageNet weights as the stem, its last stage dilated to
# stride 16, and 5 ViT blocks of width 192 of which 2 process 24 queries; stem maps are added while masks are upscaled.
# 5.7 M parameters, on the 367 training images of CamVid.
#
# Trained here: 60.3 mIoU (89.8 pixel accuracy) on the 233 test images, single scale; 68.0 mIoU on the 101 validation
# images, 51.4, 62.0 and 66.1 after 400, 800 and 1200 iterations; the mode of the training labels gives 17.0. 1550
# iterations of 8 crops, bfloat16, in 2 hours on one shared CPU core. Thin classes are the weakest on the test images: pole
# 18.8, fence 33.1, bicyclist 34.1, sign 35.8. The weights are in the package (eomt_tiny_camvid), with the curve in their
# card.
#
# The stem's weights are downloaded by timm (huggingface.co/timm/tf_efficientnet_lite0.in1k, Apache-2.0).
#
# Command:  python tools/train.py configs/tiny/eomt_tiny_camvid.py --amp
# Test:     python tools/test.py configs/tiny/eomt_tiny_camvid.py densevit/weights/bundled/eomt_tiny_camvid.safetensors
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/camvid.py', '../_base_/models/eomt_tiny_lite0.py'
]
num_classes = 11
max_iters = 1550  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
size = (256, 352)
model = dict(num_classes=num_classes, data_preprocessor=dict(size=size), backbone=dict(img_size=size))
optim_wrapper = dict(paramwise_cfg=dict(stem_lr_mult=.25))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=100, end=max_iters)
]
train_cfg = dict(max_iters=max_iters, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=100))

# CHMv2: heights of tree canopies in metres from satellite images, DPT around DINOv3-L with 256 mixed bins.
#
# paper: DINOv3, arXiv:2508.10104.
# published: no published number checked here.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/dinov2_depth/dinov3_vitl_chmv2.py 8 --amp
# not trained here.
#
# Weights: DINOv3 License, gated. Here the recipe of DINOv2 trains it: set data of your own. A height of 0 is what nobody
# knows, as in all data of depth: write the ground as .01 m for it to be learned, and read MAE and RMSE.
_base_ = '../_base_/recipes/dinov2_depth.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        name='vit_large_patch16_dinov3_qkvb.sat493m',
        pretrained=True,
        frozen_stages=25,
        out_indices=(5, 11, 17, 23)),
    head=dict(
        type='densevit.DPTDepth', channels=(128, 256, 512, 1024), readout='project', doubles=True, hidden_dim=128,
        bins=dict(num_bins=256, spacing='mixlog', norm='linear', floor=1e-8), min_depth=1e-3, max_depth=96.))
val_evaluator = dict(crop='none', max_depth=96.)
test_evaluator = val_evaluator

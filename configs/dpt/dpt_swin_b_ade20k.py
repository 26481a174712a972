# DPT with Swin-B (arXiv:2103.14030) on ADE20K, 512x512.
#
# paper: Vision Transformers for Dense Prediction, arXiv:2103.13413; maps at their own strides as in MiDaS 3.1,
# arXiv:2307.14460, which trains depth.
# published: no published number for segmentation with this backbone.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/dpt/dpt_swin_b_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/dpt/dpt_swin_b_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'dpt_vitb_ade20k.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevit.TimmPyramid',
        name='swin_base_patch4_window7_224.ms_in22k',
        pretrained=True,
        norm_out=True,
        drop_path_rate=.3),
    head=dict(readout='ignore', aux_level=-2),
    criterion=dict(aux_weight=.2))

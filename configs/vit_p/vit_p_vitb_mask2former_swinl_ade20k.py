# ViT-P-B with DINOv2 (arXiv:2304.07193) on ADE20K, 518x518, classifying the masks of Mask2Former (arXiv:2112.01527)
# with Swin-L.
#
# paper: The Missing Point in Vision Transformers for Universal Image Segmentation, arXiv:2505.19795.
# published: no published number with this proposer; 58.6 mIoU with OneFormer and DiNAT-L, single scale.
# hardware: 4x A100 with 20 images each, less than 7 hours, from the authors' job.
# command: tools/dist_train.sh configs/vit_p/vit_p_vitb_mask2former_swinl_ade20k.py 4 --amp
# 1 GPU: python tools/train.py configs/vit_p/vit_p_vitb_mask2former_swinl_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=80
# not trained here.
_base_ = 'vit_p_vitb_eomt_vitl_ade20k.py'
model = dict(
    head=dict(
        proposer=dict(
            _delete_=True,
            type='densevit.Mask2FormerNet',
            num_queries=100,
            backbone=dict(
                type='densevit.TimmPyramid', name='swin_large_patch4_window12_384.ms_in22k', norm_out=True)),
        proposer_weights='https://dl.fbaipublicfiles.com/maskformer/mask2former/ade20k/semantic/'
        'maskformer2_swin_large_IN21k_384_bs16_160k_res640/model_final_6b4a3a.pkl'),
    test_cfg=dict(_delete_=True, mode='whole'))
# As the proposer was evaluated: whole images with a shorter side of 640.
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(2560, 640), keep_ratio=True, backend='pillow'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

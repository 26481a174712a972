# Mask R-CNN with ViT-CoMer-S on DINOv2 (arXiv:2304.07193), COCO, 12 epochs.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 48.6 box AP, 42.9 mask AP, Xia et al. 2024, Table 1.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/mask_rcnn_vitcomer_s_1x_coco.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/mask_rcnn_vitcomer_s_1x_coco.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = '../_base_/recipes/mask_rcnn_fpn_coco.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevit.ViTCoMer',
        drop_path_rate=.2,
        vit=dict(
            name='vit_small_patch14_dinov2',
            # timm solves for the kernel of the larger patch; positions keep their 37x37 grid until an image comes.
            patch_size=16,
            img_size=592,
            pretrained=True,
            pos_embed_antialias=False,
            # Windows of 14x14 patches in all blocks but these; padding as in the authors' code.
            window_size=14,
            global_blocks=(2, 5, 8, 11),
            pad_mode='official')),
    neck=dict(in_channels=[384] * 4))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=.7))

# Mask R-CNN with ViT-CoMer-T on DeiT (arXiv:2012.12877), COCO, 12 epochs.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 42.1 box AP, 38.0 mask AP, Xia et al. 2024, Table 1.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/mask_rcnn_vitcomer_t_1x_coco.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/mask_rcnn_vitcomer_t_1x_coco.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# The authors released no configuration for this size: the settings are ViT-Adapter-T's.
_base_ = '../_base_/recipes/mask_rcnn_fpn_coco.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevit.ViTCoMer',
        drop_path_rate=.1,
        vit=dict(
            name='deit_tiny_patch16_224',
            pretrained=True,
            pos_embed_antialias=False,
            # Windows of 14x14 patches in all blocks but these; padding as in the authors' code.
            window_size=14,
            global_blocks=(2, 5, 8, 11),
            pad_mode='official')),
    neck=dict(in_channels=[192] * 4))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=.01),
    paramwise_cfg=dict(layer_decay=1., no_decay=('vectors', 'pos_embed', 'level_embed')))

# UperNet with ViT-CoMer-T on DeiT (arXiv:2012.12877), ADE20K, 512x512.
#
# paper: ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction, arXiv:2403.07392.
# published: 43.5 mIoU, the authors' repository (Traffic-X/ViT-CoMer, segmentation), single scale, windows of 512;
# 38.7 M parameters.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_comer/upernet_vitcomer_t_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_comer/upernet_vitcomer_t_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = '../_base_/recipes/upernet_ade20k.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevit.ViTCoMer',
        form='segmentation',
        mrfp_ratio=6.,
        drop_path_rate=.1,
        # Positions are resized as in the authors' code, without antialiasing.
        vit=dict(name='deit_tiny_patch16_224', pretrained=True, pos_embed_antialias=False)),
    decode_head=dict(in_channels=[192] * 4),
    auxiliary_head=dict(in_channels=192))
optim_wrapper = dict(optimizer=dict(lr=12e-5))

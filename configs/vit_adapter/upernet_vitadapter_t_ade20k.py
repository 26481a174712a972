# UperNet with ViT-Adapter-T on DeiT (arXiv:2012.12877), ADE20K, 512x512.
#
# paper: Vision Transformer Adapter for Dense Predictions, arXiv:2205.08534.
# published: 42.6 mIoU, the authors' repository (czczup/ViT-Adapter, segmentation/configs/ade20k), single scale,
# windows of 512; 36 M parameters.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/vit_adapter/upernet_vitadapter_t_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/vit_adapter/upernet_vitadapter_t_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = '../_base_/recipes/upernet_ade20k.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='densevit.ViTAdapter',
        form='segmentation',
        drop_path_rate=.1,
        # Positions are resized as in the authors' code, without antialiasing.
        vit=dict(name='deit_tiny_patch16_224', pretrained=True, pos_embed_antialias=False)),
    decode_head=dict(in_channels=[192] * 4),
    auxiliary_head=dict(in_channels=192))
optim_wrapper = dict(optimizer=dict(lr=12e-5))

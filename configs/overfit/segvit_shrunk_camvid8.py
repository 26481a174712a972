# Shrunk SegViT (arXiv:2210.05844) on eight images of CamVid: a ViT of four blocks behind the first half of a ResNet-18,
# from random weights.
#
# command: python tools/train.py configs/overfit/segvit_shrunk_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2)),  # tokens of stride 8
        img_size=(256, 320),
        embed_dim=192,
        depth=4,
        num_heads=6,
        class_token=False,
        norm_out=False),
    head=dict(
        type='densevit.SegViTShrunk',
        embed_dim=128,
        num_heads=4,
        num_layers=1,
        shrink_block=1,
        query_grid=(32, 40),
        dropout=0.))

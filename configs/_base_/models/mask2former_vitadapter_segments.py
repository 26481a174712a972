# Mask2Former (arXiv:2112.01527) with ViT-Adapter-L (arXiv:2205.08534) on DINOv2 for panoptic segmentation, as EoMT
# (arXiv:2503.19108) compares itself with: 200 queries, whole images, padded at the right and bottom. A config adds the
# classes.
_base_ = 'mask2former_swin_segments.py'
model = dict(
    task='panoptic',
    backbone=dict(
        _delete_=True,
        type='densevit.ViTAdapter',
        # timm downloads the weights, solves for the kernel of the larger patch and resizes the positions to img_size.
        vit=dict(name='vit_large_patch14_reg4_dinov2', patch_size=16, img_size=(640, 640), pretrained=True)),
    head=dict(num_queries=200))

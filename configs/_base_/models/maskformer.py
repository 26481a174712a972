# MaskFormer (arXiv:2107.06278) with Swin-T (arXiv:2103.14030) for semantic segmentation: 100 queries, whole images. A
# config adds the input size and the number of classes.
_base_ = 'mask2former_swin.py'
model = dict(head=dict(_delete_=True, type='densevit.MaskFormerNet', num_queries=100))

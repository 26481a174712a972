# MaskFormer (arXiv:2107.06278) with Swin-T for panoptic segmentation. Predictions are read with the paper's thresholds,
# which are the defaults of test_cfg: score_threshold=.8 and overlap_threshold=.8. Images are padded to multiples of 32,
# which the authors' are not. A config adds the classes.
_base_ = 'mask2former_swin_segments.py'
model = dict(head=dict(_delete_=True, type='densevit.MaskFormerNet', num_queries=100))

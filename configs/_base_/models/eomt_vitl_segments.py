# EoMT-L (arXiv:2503.19108) for panoptic and instance segmentation: 200 queries, whole images, padded at the right and
# bottom. Predictions are read with the paper's thresholds, which are the defaults of test_cfg: for panoptic maps
# score_threshold=.8 and overlap_threshold=.8, for instances top_k=100. A config adds the task, the input size, and the
# classes.
_base_ = 'eomt_vitl.py'
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='mmdet.DetDataPreprocessor',
        mean=_base_.model.data_preprocessor.mean,
        std=_base_.model.data_preprocessor.std,
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255),
    head=dict(num_queries=200),
    test_cfg=dict(_delete_=True, mode='whole'))

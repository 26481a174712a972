# Mask2Former (arXiv:2112.01527) with Swin-T for panoptic and instance segmentation. Predictions are read with the
# paper's thresholds, which are the defaults of test_cfg: for panoptic maps score_threshold=.8 and overlap_threshold=.8,
# for instances top_k=100. A config adds the task and the classes.
_base_ = 'mask2former_swin.py'
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='mmdet.DetDataPreprocessor',
        mean=_base_.model.data_preprocessor.mean,
        std=_base_.model.data_preprocessor.std,
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255))

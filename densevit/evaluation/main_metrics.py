"""The figures that stand for a task, by which the best checkpoint of a run is chosen; a task adds its own."""
# In the order of preference, with the better end: a panoptic validation may have the first four.
MAIN_METRICS = dict(
    PQ='greater', segm_mAP='greater', AP='greater', bbox_mAP='greater', mIoU='greater', delta1='greater',
    PSNR='greater', SAD='less', LPIPS='less')

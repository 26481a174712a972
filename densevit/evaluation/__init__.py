"""Metrics that mmsegmentation and mmdetection lack: none so far, mIoU is mmsegmentation's."""

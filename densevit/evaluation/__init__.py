"""Metrics that mmsegmentation and mmdetection lack."""

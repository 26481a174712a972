"""Metrics that mmsegmentation and mmdetection lack or need other packages for; mIoU is mmsegmentation's."""
from .instance import InstanceMetric
from .panoptic import PanopticMetric
from .panoptic_quality import PanopticCounts, panoptic_counts, panoptic_quality

__all__ = ['InstanceMetric', 'PanopticCounts', 'PanopticMetric', 'panoptic_counts', 'panoptic_quality']

"""Metrics that mmsegmentation and mmdetection lack, imported when they are first used; mIoU is mmsegmentation's."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coco_ap import InstanceMetric
    from .depth import DepthErrorMetric
    from .fidelity import lpips, psnr, psnr_b, ssim
    from .matting import MattingMetric
    from .panoptic import PanopticMetric
    from .pq import PanopticCounts, panoptic_counts, panoptic_quality
    from .restoration import RestorationMetric
    from .seams import seam_energy, seam_lines

__all__ = [
    'DepthErrorMetric', 'InstanceMetric', 'MattingMetric', 'PanopticCounts', 'PanopticMetric', 'RestorationMetric',
    'lpips', 'panoptic_counts', 'panoptic_quality', 'psnr', 'psnr_b', 'seam_energy', 'seam_lines', 'ssim'
]

_HOMES = dict(
    DepthErrorMetric='depth',
    InstanceMetric='coco_ap',
    MattingMetric='matting',
    PanopticCounts='pq',
    PanopticMetric='panoptic',
    RestorationMetric='restoration',
    lpips='fidelity',
    panoptic_counts='pq',
    panoptic_quality='pq',
    psnr='fidelity',
    psnr_b='fidelity',
    seam_energy='seams',
    seam_lines='seams',
    ssim='fidelity')


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

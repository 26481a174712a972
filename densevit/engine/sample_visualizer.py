"""The visualizer of our configs: logs as mmengine's, and draws samples of every task."""
from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from ..registry import VISUALIZERS


@VISUALIZERS.register_module()
class SampleVisualizer(Visualizer):
    """mmengine's visualizer, which draws label maps as mmsegmentation does and all else as mmdetection does.

    A config needs no other one for the hooks and tools of either (``browse_dataset.py``). A name is not needed either:
    mmengine's runner gives it that of the run, tools give none.
    """

    @classmethod
    def get_instance(cls, name: str = 'visualizer', **kwargs: Any) -> Visualizer:
        return super().get_instance(name, **kwargs)

    def add_datasample(self, name: str, image: np.ndarray, data_sample: BaseDataElement | None = None,
                       *args: Any, **kwargs: Any) -> None:
        """Draw the annotations and predictions of a sample.

        Args:
            name: The name of the image.
            image: (H, W, 3) RGB, uint8.
            data_sample: What mmsegmentation or mmdetection packs.
            args, kwargs: As mmsegmentation's and mmdetection's visualizers take: ``draw_gt``, ``draw_pred``, ``show``,
                ``wait_time``, ``out_file``, ``step``.
        """
        drawn_by = _stock(data_sample)
        meta = dict(self.dataset_meta or {})
        if meta.get('palette'):  # of a config, and so of lists, which mmdetection takes for numbers
            meta['palette'] = [tuple(color) for color in meta['palette']]
        drawn_by.dataset_meta = meta
        drawn_by.add_image = self.add_image  # to the backends of this one
        drawn_by.add_datasample(name, image, data_sample, *args, **kwargs)


def _stock(data_sample: BaseDataElement | None) -> Visualizer:
    """That of the package whose sample it is, which no other task need import."""
    if any(cls.__module__.startswith('mmseg.') for cls in type(data_sample).__mro__):
        from mmseg.visualization import SegLocalVisualizer
        return SegLocalVisualizer()
    from mmdet.visualization import DetLocalVisualizer
    return DetLocalVisualizer()

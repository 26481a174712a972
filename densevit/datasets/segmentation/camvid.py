"""CamVid: semantic object classes in video (Brostow et al., 2009), in the 11-class form of SegNet."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset

from ...registry import DATASETS

VOID = 11  # in the label files
IGNORED = 255  # in OpenMMLab's losses and metrics


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """480x360 road scenes with 11 classes; label 11 is void and ignored.

    Expected layout, with one image name a line and no suffix in the split files::

        data/camvid/{train,val,test}.txt
        data/camvid/{train,val,test}/NAME.jpg
        data/camvid/{train,val,test}annot/NAME.png
    """
    METAINFO = dict(
        classes=('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car', 'pedestrian',
                 'bicyclist'),
        palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
                 [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192]])

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '.png', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, reduce_zero_label=False, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """Labels of ``new_classes``, and the ignored label for void."""
        return {**(super().get_label_map(new_classes) or {}), VOID: IGNORED}

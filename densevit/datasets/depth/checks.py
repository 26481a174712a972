"""What depth sees to in its data before a run: sizes, bits, what is not known, and the unit."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
from torch import nn

from ...registry import DATASETS
from ..common.coco_json import EmptyDatasetError
from ..common.file_facts import FactsMemory
from ..common.locate import HELP, MissingDataError
from ..common.survey import Survey
from ..common.task_checks import DataError, Labels, Picture, TaskChecks
from .dataset import DepthDataset
from .depth_files import DepthFileError, read_depth
from .folder import PLAUSIBLE

_READ = 2000  # files of a split, of which all pixels are looked at
_KNOWN = Labels([0])  # of an image that something can be learned from


class DepthChecks(TaskChecks):
    """Depth of :class:`densevit.datasets.DepthDataset`.

    Args:
        learns_depth: Whether the model is one of depth.
        presumed: Degrees that a model whose metres depend on the camera presumes where none is known; None for others.
    """

    def __init__(self, learns_depth: bool, presumed: float | None = None) -> None:
        self.learns_depth, self.presumed = learns_depth, presumed
        self.without_camera: list[str] = []  # images
        self.medians: list[float] = []
        self.unknown: list[str] = []  # files in which no pixel is known

    @classmethod
    def of(cls, model: nn.Module, dataset: Any, metrics: Sequence[Any]) -> DepthChecks:
        needs_focal = getattr(getattr(model, 'network', None), 'needs_focal', False)
        return cls(getattr(model, 'task', None) == 'depth', model.options.fov if needs_focal else None)

    @staticmethod
    def check_config(dataset: Mapping[str, Any], key: str) -> None:
        """See that a list or a folder has images.

        Raises:
            EmptyDatasetError: It has none.
        """
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind  # configs may hold the class
        if not (isinstance(kind, type) and issubclass(kind, DepthDataset)):
            return
        built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=True))
        if not built.load_data_list():
            where = built.ann_file or built.data_prefix['img_path']
            raise EmptyDatasetError(f'{where} has no image with depth: correct {key}.ann_file, data_prefix, img_suffix '
                                    f'({built.img_suffix}) or depth_suffix ({built.depth_suffix}); {HELP}')

    def look(self, leaf: Any, picture: Picture, memory: FactsMemory) -> Labels | None:
        """Read the depth of an image, of evenly spread ones in a large split."""
        path = picture.info.get('depth_map_path')
        if not path or not isinstance(leaf, DepthDataset):
            return None
        if picture.info.get('camera') is None:
            self.without_camera.append(picture.info['img_path'])
        if picture.info.get('sample_idx', 0) % ceil(len(leaf) / _READ):
            return _KNOWN
        try:
            depth = read_depth(path, picture.info['depth_scale'])
        except (DepthFileError, FileNotFoundError) as error:
            raise DataError(str(error)) from error
        picture.require_size(*depth.shape, f'its depth {path} has')
        known = depth[depth > 0]
        if not len(known):
            self.unknown.append(path)
            return Labels([])
        self.medians.append(float(np.median(known)))
        return _KNOWN

    def check_survey(self, found: Survey, dataset: Any, name: str) -> None:
        """See that there is something to learn.

        Raises:
            EmptyDatasetError: No pixel of a split is known.
        """
        if self.unknown and not self.medians and name != 'test':
            raise EmptyDatasetError(f'no pixel of the {len(self.unknown)} depth files of the {name} data is above 0, '
                                    f'as in {self.unknown[0]}: see what wrote them')

    def check_loaded(self, dataset: Any, name: str) -> None:
        """See that what predictions are compared with is loaded.

        Raises:
            MissingDataError: The pipeline does not load depth.
        """
        if self.learns_depth:
            self._require_depth(dataset[0], f'{name} data', 'behind the resize')

    def check_sample(self, sample: Mapping[str, Any]) -> None:
        """See that a training sample has depth.

        Raises:
            MissingDataError: It has none.
        """
        if self.learns_depth:
            self._require_depth(sample, 'train data', 'behind LoadImage')

    @staticmethod
    def _require_depth(sample: Any, name: str, place: str) -> None:
        data_sample = sample.get('data_samples') if isinstance(sample, Mapping) else None
        if data_sample is not None and 'gt_depth_map' not in data_sample:
            raise MissingDataError(f"the pipeline of the {name} loads no depth: add dict(type='densevit.LoadDepth') "
                                   f"{place}, and end with dict(type='densevit.PackDepth')")

    def notes(self, dataset: Any) -> list[str]:
        notes = []
        if self.unknown:
            notes.append(f'{len(self.unknown)} depth files have no pixel above 0, as {self.unknown[0]}')
        if self.medians and not PLAUSIBLE[0] <= (median := float(np.median(self.medians))) <= PLAUSIBLE[1]:
            notes.append(f'the median of the depth is {median:.3g} m, which is hardly what was meant: correct '
                         'depth_scale, the values of 16-bit files per metre (1000 for millimetres, 256 for KITTI)')
        if self.without_camera and self.presumed is not None:
            notes.append(f'{len(self.without_camera)} images have no camera, as {self.without_camera[0]}: they are '
                         f'presumed to see {self.presumed:g} degrees (model.test_cfg.fov), on which metres depend; '
                         'tell the focal length in depth.json of --data, in the list, or as camera= of the dataset')
        return notes

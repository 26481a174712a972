"""What matting sees to in its data before a run: files, sizes, opacities that teach nothing, and trimaps."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
from torch import nn

from ...registry import DATASETS
from ..common.coco_json import EmptyDatasetError
from ..common.file_facts import FactsMemory, UnreadableFileError, in_threads, read_facts
from ..common.locate import MissingDataError
from ..common.survey import Survey, leaves
from ..common.task_checks import DataError, Labels, Picture, TaskChecks
from .alpha_files import AlphaFileError, read_alpha, read_trimap
from .dataset import MattingDataset
from .transforms import ComposeForeground

_READ = 2000  # files of a split, of which all pixels are looked at
_KNOWN = Labels([0])  # of an image that something can be learned from
_OFF, _FEW = .1, .001  # of the opacity, and of the pixels of an image: what a trimap may be wrong by
_JPEG = ('JPEG', 'MPO')

# What is counted, in the order in which it is said.
_EMPTY = 'opacities are 0 everywhere'
_FULL = 'opacities are 1 everywhere'
_MASK = ('opacities are 0 or 1 at each pixel: they are masks, of which nothing partly transparent is learned; train '
         'segmentation on them (images/ and masks/), and cut out by result.cutout')
_LOSSY = 'opacities are JPEG, whose traces make opaque pixels partly transparent: save them as PNG'
_CONTRADICTS = 'trimaps say that pixels are known which the opacity has otherwise: make them of the opacity anew'
_ALL_KNOWN = 'trimaps have no unknown pixel'


class MattingChecks(TaskChecks):
    """Opacities and trimaps of :class:`densevit.datasets.MattingDataset`.

    Args:
        learns_matting: Whether the model is one of matting.
    """

    def __init__(self, learns_matting: bool) -> None:
        self.learns_matting = learns_matting
        self.looked_at: list[str] = []  # files of opacities
        self.found: dict[str, list[str]] = defaultdict(list)  # files by what is to be said of them

    @classmethod
    def of(cls, model: nn.Module, dataset: Any, metrics: Sequence[Any]) -> MattingChecks:
        return cls(getattr(model, 'task', None) == 'matting')

    @staticmethod
    def check_config(dataset: Mapping[str, Any], key: str) -> None:
        """See that folders have images.

        Raises:
            EmptyDatasetError: They have none.
        """
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind  # configs may hold the class
        if not (isinstance(kind, type) and issubclass(kind, MattingDataset)):
            return
        try:
            DATASETS.build(dict(dataset, pipeline=[], lazy_init=True)).load_data_list()
        except EmptyDatasetError as error:
            raise EmptyDatasetError(f'{key}: {error}') from error

    def check_dataset(self, dataset: Any, name: str) -> None:
        """See that what foregrounds are laid on can be read.

        Raises:
            DataError: A file cannot.
        """
        backgrounds = {path for leaf in leaves(dataset) for transform in _transforms(leaf)
                       if isinstance(transform, ComposeForeground) for path in transform.files}
        faults = [fault for fault in in_threads(_unreadable, sorted(backgrounds)) if fault]
        if faults:
            more = f' ({len(faults) - 1} more backgrounds have faults)' if len(faults) > 1 else ''
            raise DataError(faults[0] + more)

    def look(self, leaf: Any, picture: Picture, memory: FactsMemory) -> Labels | None:
        """Read the opacity and the trimap of an image, of evenly spread ones in a large split."""
        path, trimap_path = (picture.info.get(key) for key in ('alpha_path', 'trimap_path'))
        if not path or not isinstance(leaf, MattingDataset):
            return None
        if picture.info.get('sample_idx', 0) % ceil(len(leaf) / _READ):
            return _KNOWN
        try:
            alpha = read_alpha(path)
            trimap = read_trimap(trimap_path) if trimap_path else None
        except (AlphaFileError, FileNotFoundError) as error:
            raise DataError(str(error)) from error
        picture.require_size(*alpha.shape, f'its opacity {path} has')
        self.looked_at.append(path)
        if memory.facts(path, 'image').format in _JPEG:
            self.found[_LOSSY].append(path)
        if trimap is not None:
            picture.require_size(*trimap.shape, f'its trimap {trimap_path} has')
            self._compare(trimap, alpha, trimap_path)
        kind = _kind(alpha)
        if kind:
            self.found[kind].append(path)
        return Labels([]) if kind in (_EMPTY, _FULL) else _KNOWN

    def _compare(self, trimap: np.ndarray, alpha: np.ndarray, path: str) -> None:
        known = trimap != .5
        if known.all():
            self.found[_ALL_KNOWN].append(path)
        if (known & (np.abs(alpha - trimap) > _OFF)).mean() > _FEW:
            self.found[_CONTRADICTS].append(path)

    def check_survey(self, found: Survey, dataset: Any, name: str) -> None:
        """See that there is something to learn.

        Raises:
            EmptyDatasetError: All opacities of a split are 0 everywhere or 1 everywhere.
        """
        plain = self.found[_EMPTY] + self.found[_FULL]
        if plain and len(plain) == len(self.looked_at) and name != 'test':
            raise EmptyDatasetError(f'all {len(plain)} opacities of the {name} data are 0 everywhere or 1 everywhere, '
                                    f'as {plain[0]}: see what wrote them')

    def check_loaded(self, dataset: Any, name: str) -> None:
        """See that what predictions are made and compared with is loaded.

        Raises:
            MissingDataError: The pipeline does not load opacities, or has no trimaps.
        """
        if self.learns_matting:
            _require(dataset[0], f'{name} data', 'trimap_width of densevit.LoadAlpha, or a folder of trimaps, '
                     'data_prefix.trimap_path')

    def check_sample(self, sample: Mapping[str, Any]) -> None:
        """See that a training sample has an opacity and a trimap.

        Raises:
            MissingDataError: It lacks one.
        """
        if self.learns_matting:
            _require(sample, 'train data', "dict(type='densevit.RandomTrimap') before densevit.PackMatting")

    def notes(self, dataset: Any) -> list[str]:
        return [f'{len(paths)} of {len(self.looked_at)} {what} (as {paths[0]})'
                for what in (_EMPTY, _FULL, _MASK, _LOSSY, _CONTRADICTS, _ALL_KNOWN) if (paths := self.found[what])]


def _kind(alpha: np.ndarray) -> str | None:
    """What is to be said of an opacity."""
    least, most = alpha.min(), alpha.max()
    if least == most and least in (0, 1):
        return _FULL if least else _EMPTY
    return None if ((alpha > 0) & (alpha < 1)).any() else _MASK


def _transforms(leaf: Any) -> Sequence[Any]:
    return getattr(getattr(leaf, 'pipeline', None), 'transforms', ())


def _unreadable(path: Any) -> str | None:
    try:
        read_facts(str(path), 'image')
    except UnreadableFileError:
        return f'the background {path} cannot be read as a picture: write it anew, or remove it'
    return None


def _require(sample: Any, name: str, remedy: str) -> None:
    data_sample = sample.get('data_samples') if isinstance(sample, Mapping) else None
    if data_sample is None:
        return
    if 'gt_alpha' not in data_sample:
        raise MissingDataError(f"the pipeline of the {name} loads no opacity: add dict(type='densevit.LoadAlpha') "
                               "behind LoadImage, and end with dict(type='densevit.PackMatting')")
    if 'trimap' not in data_sample:
        raise MissingDataError(f'the pipeline of the {name} has no trimap: add {remedy}')

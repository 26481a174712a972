"""What restoration sees to in its data before a run: sizes of pairs, and of pictures that a metric compares."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..common.file_facts import FactsMemory
from ..common.survey import leaves
from ..common.task_checks import DataError, Labels, Picture, TaskChecks
from .dataset import RestorationDataset, is_pair, remedy_of_pair


class RestorationChecks(TaskChecks):
    """Sizes of pairs, and of what is compared.

    Args:
        scale: How many times larger the model makes images; None for a model of another task.
        least: The shortest side of a true image that the metrics of the split can compare, in pixels.
    """

    def __init__(self, scale: int | None = None, least: int = 1) -> None:
        self.scale, self.least = scale, least
        # True images of another EXIF orientation than their degraded ones.
        self.turned: list[str] = []

    @classmethod
    def of(cls, model: nn.Module, dataset: Any, metrics: Sequence[Any]) -> RestorationChecks:
        least = max((getattr(metric, 'least_side', 1) for metric in metrics), default=1)
        return cls(model.scale if getattr(model, 'task', None) == 'restoration' else None, least)

    def look(self, leaf: Any, picture: Picture, memory: FactsMemory) -> Labels | None:
        """Compare the sizes of a pair; a true image needs no partner here."""
        if not isinstance(leaf, RestorationDataset):
            return None
        if picture.shape is None or self.scale is None:
            return Labels((0, ))
        large, small = memory.facts(picture.info['gt_path'], 'image'), picture.shape
        size = (large.height, large.width) if large.orientation < 5 else (large.width, large.height)
        if min(side // self.scale * self.scale for side in size) < self.least:
            raise DataError(
                f'{picture.info["gt_path"]} has {size[1]}x{size[0]} pixels, and the metrics need {self.least} along '
                'each side to compare anything: remove it from the pictures for validation and tests, or '
                'the figures that need as much (SSIM, LPIPS) from val_evaluator and test_evaluator')
        if is_pair(picture.info):
            if size != tuple(self.scale * side for side in small):
                raise DataError(
                    f'{picture.info["gt_path"]} is read with {size[1]}x{size[0]} pixels and '
                    f'{picture.info["img_path"]} with {small[1]}x{small[0]}, and the model has the scale '
                    f'{self.scale}: {_remedy(size, small)}')
            if picture.facts is not None and large.orientation != picture.facts.orientation:
                self.turned.append(picture.info['gt_path'])
        return Labels((0, ))  # there is something to learn from

    def check_sample(self, sample: Mapping[str, Any]) -> None:
        """See that the pipeline of training gives a pair of the model's scale.

        Raises:
            DataError: It does not.
        """
        if self.scale is None or 'gt_img' not in sample['data_samples']:
            return
        given, wanted = sample['inputs'].shape[-2:], sample['data_samples'].gt_img.shape[-2:]
        if tuple(wanted) != tuple(self.scale * side for side in given):
            raise DataError(
                f'the pipeline of training gives images of {given[1]}x{given[0]} pixels for {wanted[1]}x{wanted[0]}, '
                f'and the model has the scale {self.scale}: set model.head.scale or densevit.Degrade to the same')

    def notes(self, dataset: Any) -> list[str]:
        of_task = [leaf for leaf in leaves(dataset) if isinstance(leaf, RestorationDataset)]
        is_made = any(not is_pair(leaf.get_data_info(0)) for leaf in of_task)
        notes = ['images are degraded by the pipeline'] if is_made else []
        if self.turned:
            notes.append(f'{len(self.turned)} pairs have an image that is mirrored or turned by its EXIF orientation '
                         f'and one that is not, as {self.turned[0]}: see that both show the same, or remove the '
                         'orientation (exiftool -Orientation= FILES)')
        return notes


def _remedy(size: Sequence[int], small: Sequence[int]) -> str:
    scale = size[0] // small[0]
    if scale and tuple(size) == tuple(scale * side for side in small):
        return f'set model.head.scale={scale}'
    return remedy_of_pair(size, small)

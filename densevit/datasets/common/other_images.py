"""Transforms that combine an image with others of its dataset."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset


class OtherImages(BaseTransform):
    """A transform that asks for other images of the dataset, as the transforms before it in the pipeline read them.

    They are read when they are asked for, and chosen by numpy's generator: in contrast to a cache of the images before,
    a sample depends on the seed of its position alone. The datasets of :mod:`densevit.datasets` that read COCO's files
    or opacities offer their images (:func:`offer_images`).
    """
    _dataset: BaseDataset | None = None
    _before: Sequence[BaseTransform] = ()

    def offer(self, dataset: BaseDataset, before: Sequence[BaseTransform]) -> None:
        """Say where images are from.

        Args:
            dataset: The dataset.
            before: The transforms that read an image of it.
        """
        self._dataset, self._before = dataset, before

    def others(self, count: int) -> list[dict[str, Any]]:
        """Results of images that are drawn at random, with repetition.

        Raises:
            ValueError: No dataset has offered images.
        """
        if self._dataset is None:
            raise ValueError(f'{type(self).__name__} combines images of a dataset, and this one offers none: use '
                             'densevit.CocoInstanceDataset, or MattingDataset for matting')
        return [self._read(int(index)) for index in np.random.randint(len(self._dataset), size=count)]

    def _read(self, index: int) -> dict[str, Any]:
        results = self._dataset.get_data_info(index)
        for transform in self._before:
            results = transform(results)
        return results


def offer_images(dataset: BaseDataset) -> None:
    """Let the :class:`OtherImages` of a dataset's pipeline, also those within other transforms, read its images."""
    transforms = dataset.pipeline.transforms
    for place, transform in enumerate(transforms):
        for each in _within(transform):
            if isinstance(each, OtherImages):
                each.offer(dataset, transforms[:place])


def _within(transform: BaseTransform) -> Iterator[BaseTransform]:
    """A transform, and those that it applies: mmcv's wrappers and ours iterate over them."""
    yield transform
    if isinstance(transform, Iterable):
        for part in transform:
            yield from _within(part)

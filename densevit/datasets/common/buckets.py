"""Batches of one shape each, out of a few that fit the aspect ratios of the images."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from torch.utils.data import BatchSampler

from ...registry import DATA_SAMPLERS, TRANSFORMS
from .file_facts import read_facts
from .seeding import PositionSampler, shape_of_batch

Shape = tuple[int, int]


@DATA_SAMPLERS.register_module()
def AspectRatioBuckets(
    sampler: PositionSampler,
    batch_size: int,
    shapes: Sequence[Sequence[int]] | int,
    area: int = 512**2,
    divisor: int = 32,
) -> BatchSampler:
    """Give each batch one of a few shapes; :class:`FitToBucket` in the pipeline brings the images to it.

    It is ``batch_sampler`` of a dataloader. Images are assigned by their aspect ratio. As in :class:`PositionSampler`,
    whose place the sampler of the batches takes, the stream is a function of seed and position, so that a resumed run
    continues it. In each iteration the batches of all processes have the same shape. How much of the input is padding
    is logged once, with that of squares of the same number of pixels.

    Args:
        sampler: The sampler of the dataloader.
        batch_size: Images of a batch, that of the dataloader.
        shapes: (height, width) of each bucket in pixels, or how many are chosen so that least is padded.
        area: Pixels of a chosen shape, about.
        divisor: Sides of chosen shapes are multiples of it.

    Raises:
        TypeError: The sampler is no :class:`PositionSampler`.
    """
    if type(sampler) is not PositionSampler:
        raise TypeError(f'AspectRatioBuckets orders the images itself and replaces no {type(sampler).__name__}: set '
                        "train_dataloader.sampler=dict(type='densevit.PositionSampler')")
    ratios = aspect_ratios(sampler.dataset)
    chosen = choose_shapes(ratios, shapes, area, divisor) if isinstance(shapes, int) else [
        (int(height), int(width)) for height, width in shapes]
    buckets = BucketSampler(sampler.dataset, ratios, chosen, batch_size, sampler.shuffle, sampler.seed)
    padded, square = buckets.waste()
    print_log(f'shapes of batches: {", ".join(f"{height}x{width}" for height, width in chosen)}; {padded:.1%} of the '
              f'input is padding, and {square:.1%} of squares of the same number of pixels would be', 'current')
    return BatchSampler(buckets, batch_size, drop_last=False)


class BucketSampler(PositionSampler):
    """The stream of :class:`PositionSampler`, so ordered that batches of all processes have one shape each.

    Every image occurs once an epoch. What does not fill a batch of its own shape goes with the next ratios, and a
    batch that two epochs share has the most common shape.

    Args:
        dataset: The dataset, or anything with a length.
        ratios: Width / height of each image.
        shapes: (height, width) of each bucket in pixels.
        batch_size: Images of a batch of one process.
        shuffle: Whether to shuffle each epoch anew.
        seed: The seed of the stream; processes agree upon one when it is omitted.
    """

    def __init__(self, dataset: Any, ratios: np.ndarray, shapes: Sequence[Shape], batch_size: int,
                 shuffle: bool = True, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle, seed)
        self.ratios, self.shapes = np.asarray(ratios, float), list(shapes)
        self.group = batch_size * self.world_size
        self.assigned = _fits(self.ratios, self.shapes).argmax(0)

    def _order(self, epoch: int) -> list[tuple[int, Shape]]:
        images = np.array(self._shuffled(epoch))
        place = np.argsort(images)  # of each image
        # Those that complete the batch that the epoch before began, and those that begin one for the next epoch.
        head = min(-epoch * self.size % self.group, self.size)
        shared = head + (self.size - head) % self.group
        common = int(np.bincount(self.assigned, minlength=len(self.shapes)).argmax())
        images = images[np.argsort(self.assigned[images] != common, kind='stable')]
        first, last, images = images[:head], images[head:shared], images[shared:]
        groups, rest = [], []
        for bucket in range(len(self.shapes)):
            own = images[self.assigned[images] == bucket]
            full = len(own) // self.group * self.group
            groups += [(group, bucket) for group in own[:full].reshape(-1, self.group)]
            rest.append(own[full:])
        left = np.concatenate(rest)
        left = left[np.argsort(self.ratios[left], kind='stable')]
        for group in left.reshape(-1, self.group):
            groups.append((group, int(_fits(self.ratios[group], self.shapes).sum(1).argmax())))
        groups.sort(key=lambda entry: place[entry[0]].min())  # so that shapes alternate
        ordered = [(first, common), *groups, (last, common)]
        return [(int(image), self.shapes[bucket]) for group, bucket in ordered for image in group]

    def waste(self) -> tuple[float, float]:
        """Shares of padding in the first epoch: with these shapes, and with squares of as many pixels."""
        images, shapes = zip(*self._order(0), strict=True)
        sizes = np.array(shapes, float)
        pixels, ratios = sizes.prod(1), self.ratios[list(images)]
        bucket = sizes[:, 1] / sizes[:, 0]
        filled = np.minimum(ratios / bucket, bucket / ratios)
        return float(1 - (pixels * filled).sum() / pixels.sum()), float(1 - np.minimum(ratios, 1 / ratios).mean())


def _fits(ratios: np.ndarray, shapes: Sequence[Shape]) -> np.ndarray:
    """Share of each shape that an image of each ratio fills, (shapes, images)."""
    sides = np.array(shapes, float)
    bucket = (sides[:, 1] / sides[:, 0])[:, None]
    return np.minimum(ratios / bucket, bucket / ratios)


def choose_shapes(ratios: np.ndarray, number: int, area: int = 512**2, divisor: int = 32) -> list[Shape]:
    """At most ``number`` shapes of about ``area`` pixels, each the one that lessens padding most beside the former."""
    height = np.maximum(1, np.round((area / ratios)**.5 / divisor)).astype(int) * divisor
    width = np.maximum(1, np.round((area * ratios)**.5 / divisor)).astype(int) * divisor
    candidates = sorted({(int(h), int(w)) for h, w in zip(height, width, strict=True)})
    fits = _fits(ratios, candidates)
    chosen, filled = [], np.zeros(len(ratios))
    for _ in range(min(number, len(candidates))):
        best = int(np.maximum(fits, filled).sum(1).argmax())
        if chosen and np.maximum(fits[best], filled).sum() <= filled.sum():
            break
        chosen.append(candidates[best])
        filled = np.maximum(filled, fits[best])
    return chosen


def aspect_ratios(dataset: Any) -> np.ndarray:
    """Width / height of each image of a dataset, by its annotations or else by the headers of the files."""
    ratios = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if info.get('height') and info.get('width'):
            ratios.append(info['width'] / info['height'])
            continue
        facts = read_facts(info['img_path'], 'image')
        sides = (facts.width, facts.height) if facts.orientation < 5 else (facts.height, facts.width)
        ratios.append(sides[0] / sides[1])
    return np.array(ratios)


@TRANSFORMS.register_module()
class FitToBucket(BaseTransform):
    """Makes an image as large as fits into the shape of its batch, and pads it at the right and bottom.

    ``img_shape`` stays that of the image without its pads. Boxes, masks and label maps follow; label maps are padded
    with 255 (void).

    Args:
        shapes: (height, width) from which the one that fits best is taken where :class:`AspectRatioBuckets` gave none:
            in tests, where one image is looked at, under a dataset wrapper that renumbers its samples, and for an image
            that a dataset draws in place of one of which nothing was left. Without them such an image gets the shape
            of its own ratio of about 512x512 pixels.
        annotations: ``'segments'``, which mmdetection's transforms resize (boxes, masks and a panoptic label map), or
            ``'label_map'``, which mmsegmentation's do.
        pad: Value in [0, 255] around the image.

    Required keys: ``img``, and those of the resize. Added key: ``pad_shape``.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[int]] | None = None,
        annotations: Literal['segments', 'label_map'] = 'segments',
        pad: float = 0,
    ) -> None:
        if annotations not in ('segments', 'label_map'):
            raise ValueError(f"FitToBucket has annotations={annotations!r}: it is 'segments' or 'label_map'")
        self.shapes = None if shapes is None else [(int(height), int(width)) for height, width in shapes]
        self.annotations, self.pad = annotations, pad
        kind = 'densevit.ResizeSegments' if annotations == 'segments' else 'mmseg.Resize'
        options = {} if annotations == 'segments' else dict(backend='pillow')
        self.resize = TRANSFORMS.build(dict(type=kind, scale=(1, 1), keep_ratio=False, **options))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        shape = shape_of_batch(results)
        if shape is None:
            ratio = np.array([width / height])
            shapes = self.shapes or choose_shapes(ratio, 1)
            shape = shapes[int(_fits(ratio, shapes)[:, 0].argmax())]
        scale = min(shape[0] / height, shape[1] / width)
        self.resize.scale = tuple(min(bound, max(1, round(side * scale)))
                                  for side, bound in ((width, shape[1]), (height, shape[0])))
        results = self.resize(results)
        results['img_shape'] = results['img'].shape[:2]
        results['img'] = mmcv.impad(results['img'], shape=shape, pad_val=self.pad)
        results['pad_shape'] = shape
        if 'gt_masks' in results:
            results['gt_masks'] = results['gt_masks'].pad(shape)
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = mmcv.impad(results['gt_seg_map'], shape=shape, pad_val=255)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shapes={self.shapes}, annotations={self.annotations!r}, pad={self.pad})'

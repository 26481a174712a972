"""Mix-up and copy-blend of the images of a batch, and its random size: DEIM's dense one-to-one matching.

DEIM (arXiv:2412.04234, section 3.2) and DEIMv2 (arXiv:2509.20787). They are ``batch_augments`` of mmdetection's
``DetDataPreprocessor``, which calls them in training with normalised images and their data samples. So they run where
torch is seeded for each iteration, whatever the number of workers, and :class:`densevit.engine.ProgressOfRunHook` tells
them how much of the run is done.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample


class Paste(NamedTuple):
    """An object of a batch that is blended into one of its images.

    Attributes:
        image: The image that it is taken from.
        index: Which object of that image.
        place: Where its upper left corner goes: x and y in pixels.
        margin: How much of the surroundings comes with it on each side, as a share of its own size.
    """
    image: int
    index: int
    place: tuple[int, int]
    margin: float


@MODELS.register_module()
class MixUpOrCopyBlend(nn.Module):
    """Mixes each image with the one before it, or blends objects of the batch into each.

    Mix-up comes first; a batch that is not mixed up may be blended. All objects count in full, whatever their share of
    the pixels. Pixels are mixed by a share of about one half.

    Args:
        mix_up: The probability of mix-up; batches of one image are not mixed up.
        copy_blend: The probability of copy-blend among the batches that are left.
        mix_up_during: Shares of the run at which mix-up begins and ends.
        copy_blend_during: The same of copy-blend.
        num_objects: How many objects are blended into an image.
        min_area: The least area of their boxes, in pixels of the batch. (The authors count annotated pixels of the
            original image.)
        margins: The range of :attr:`Paste.margin`.
        ratios: The range of the share of an image itself in the mixture.
    """

    def __init__(
        self,
        mix_up: float = .5,
        copy_blend: float = .5,
        mix_up_during: Sequence[float] = (0., 1.),
        copy_blend_during: Sequence[float] = (0., 1.),
        num_objects: int = 3,
        min_area: float = 100.,
        margins: Sequence[float] = (.1, .25),
        ratios: Sequence[float] = (.45, .55),
    ) -> None:
        super().__init__()
        self.mix_up, self.copy_blend = mix_up, copy_blend
        self.mix_up_during, self.copy_blend_during = tuple(mix_up_during), tuple(copy_blend_during)
        self.num_objects, self.min_area = num_objects, min_area
        self.margins, self.ratios = tuple(margins), tuple(ratios)
        self.progress = 0.

    def set_progress(self, share: float) -> None:
        self.progress = share

    @torch.no_grad()
    def forward(self, images: Tensor, samples: Sequence[DetDataSample]) -> tuple[Tensor, Sequence[DetDataSample]]:
        """Images (B, 3, H, W) and their samples, whose instances grow and whose masks become bitmaps over (H, W)."""
        ratio = _uniform(*self.ratios)
        if len(images) > 1 and _is_in(self.progress, self.mix_up_during) and _uniform(0., 1.) < self.mix_up:
            images = mix_up(images, samples, ratio)
        elif _is_in(self.progress, self.copy_blend_during) and _uniform(0., 1.) < self.copy_blend:
            images = copy_blend(images, samples, self.draw_pastes(images, samples), ratio)
        return images, samples

    def draw_pastes(self, images: Tensor, samples: Sequence[DetDataSample]) -> list[list[Paste]]:
        """What is blended into each image: objects of any image of the batch, none of them twice into one."""
        corners = [_inner_corners(sample, images.shape[-2:]) for sample in samples]
        pool = [(image, index) for image, boxes in enumerate(corners) for index, (x0, y0, x1, y1) in enumerate(boxes)
                if x0 < x1 and y0 < y1 and (x1 - x0) * (y1 - y0) >= self.min_area]
        pastes = []
        for sample in samples:
            chosen = [pool[place] for place in torch.randperm(len(pool))[:self.num_objects].tolist()]
            pastes.append([])
            for image, index in chosen:
                x0, y0, x1, y1 = corners[image][index]
                place = tuple(int(torch.randint(max(side - size, 0) + 1, ()))
                              for side, size in zip(sample.img_shape[1::-1], (x1 - x0, y1 - y0), strict=True))
                pastes[-1].append(Paste(image, index, place, _uniform(*self.margins)))
        return pastes


def mix_up(images: Tensor, samples: Sequence[DetDataSample], ratio: float) -> Tensor:
    """Each image times a ratio, and the one before it times the rest; each sample gets the instances of both."""
    _pad_masks(samples, images.shape[-2:])
    before = [*samples[-1:], *samples[:-1]]
    for key in ('gt_instances', 'ignored_instances'):
        if key in samples[0]:
            merged = [InstanceData.cat([own.get(key), other.get(key)])
                      for own, other in zip(samples, before, strict=True)]
            for sample, instances in zip(samples, merged, strict=True):
                setattr(sample, key, instances)
    shapes = [np.maximum(own.img_shape[:2], other.img_shape[:2]).tolist()
              for own, other in zip(samples, before, strict=True)]
    for sample, shape in zip(samples, shapes, strict=True):
        sample.set_metainfo(dict(img_shape=tuple(shape)))
    return images * ratio + images.roll(1, 0) * (1. - ratio)


def copy_blend(images: Tensor, samples: Sequence[DetDataSample], pastes: Sequence[Sequence[Paste]], ratio: float
               ) -> Tensor:
    """Objects of a batch blended into its images, which keep a ratio of their pixels; samples get the objects."""
    size = images.shape[-2:]
    _pad_masks(samples, size)
    corners = [_inner_corners(sample, size) for sample in samples]
    sources, blended = [sample.gt_instances for sample in samples], images.clone()
    for image, sample, own in zip(blended, samples, pastes, strict=True):
        added = []
        for paste in own:
            x0, y0, x1, y1 = corners[paste.image][paste.index]
            x, y = paste.place
            # As much of the margin as there is room for, in the image that it comes from and where it goes.
            wide, high = int((x1 - x0) * paste.margin), int((y1 - y0) * paste.margin)
            rows, columns = (np.subtract(shown, ends).tolist() for shown, ends in zip(
                zip(samples[paste.image].img_shape, sample.img_shape, strict=False),
                ((y1, y + y1 - y0), (x1, x + x1 - x0)), strict=True))
            left, up = min(wide, x0, x), min(high, y0, y)
            right, down = max(0, min(wide, *columns)), max(0, min(high, *rows))
            patch = images[paste.image, :, y0 - up:y1 + down, x0 - left:x1 + right]
            region = image[:, y - up:y + y1 - y0 + down, x - left:x + x1 - x0 + right]
            region.copy_(region * ratio + patch * (1. - ratio))
            added.append(_moved(sources[paste.image][paste.index], (x0, y0, x1, y1), paste.place))
        sample.gt_instances = InstanceData.cat([sample.gt_instances, *added])
    return blended


def _moved(instance: InstanceData, corners: Sequence[int], place: tuple[int, int]) -> InstanceData:
    """One object at another place, its mask cut off by its box."""
    (x0, y0, x1, y1), (x, y) = corners, place
    width, height = x1 - x0, y1 - y0
    moved = instance.clone()
    moved.bboxes = instance.bboxes.new_tensor([[x, y, x + width, y + height]])
    if 'masks' in instance:
        masks = np.zeros_like(instance.masks.masks)
        masks[:, y:y + height, x:x + width] = instance.masks.masks[:, y0:y1, x0:x1]
        moved.masks = type(instance.masks)(masks, *masks.shape[1:])
    return moved


@MODELS.register_module()
class MultiScaleBatch(nn.Module):
    """Resizes each batch to a size between three and five quarters of its own, in steps, keeping its aspect ratio.

    The longer side takes one of the sizes; the other is rounded to the nearest step. The nearest pixels are taken, as
    in the authors' code.

    Args:
        until: The share of the run from which batches keep their size.
        repeat: How often the own size is among the sizes, each of which is as likely.
        reach: How much smaller and larger a batch may become, as a share of its longer side.
        step: Sides are multiples of that many pixels.
    """

    def __init__(self, until: float = 1., repeat: int = 3, reach: float = .25, step: int = 32) -> None:
        super().__init__()
        self.until, self.repeat, self.reach, self.step = until, repeat, reach, step
        self.progress = 0.

    def set_progress(self, share: float) -> None:
        self.progress = share

    def sizes(self, side: int) -> list[int]:
        """The sizes of a side, with repetitions."""
        least = int(side * (1. - self.reach) / self.step) * self.step
        most = int(side * (1. + self.reach) / self.step) * self.step
        steps = [step * self.step for step in range((side - least) // self.step)]
        return [*(least + each for each in steps), *[side] * self.repeat, *(most - each for each in steps)]

    @torch.no_grad()
    def forward(self, images: Tensor, samples: Sequence[DetDataSample]) -> tuple[Tensor, Sequence[DetDataSample]]:
        """Images (B, 3, H, W) and their samples, whose boxes and masks follow."""
        if self.progress >= self.until:
            return images, samples
        before = images.shape[-2:]
        sizes = self.sizes(max(before))
        scale = sizes[int(torch.randint(len(sizes), ()))] / max(before)
        if scale == 1.:
            return images, samples
        size = tuple(max(1, round(side * scale / self.step)) * self.step for side in before)
        _pad_masks(samples, before)
        factors = [after / side for after, side in zip(size, before, strict=True)]
        for sample in samples:
            shown = tuple(round(side * factor) for side, factor in zip(sample.img_shape, factors, strict=False))
            sample.set_metainfo(dict(img_shape=shown, batch_input_shape=size, pad_shape=size))
            for key in ('gt_instances', 'ignored_instances'):
                if key in sample:
                    instances = sample.get(key)
                    instances.bboxes = instances.bboxes * instances.bboxes.new_tensor(factors[::-1] * 2)
                    if 'masks' in instances:
                        instances.masks = instances.masks.resize(size)
        return F.interpolate(images, size=size), samples


def _inner_corners(sample: DetDataSample, size: Sequence[int]) -> list[list[int]]:
    """The boxes of a sample in whole pixels: x0, y0, x1, y1 within an image of (H, W)."""
    height, width = size
    limits = torch.tensor([width, height, width, height])
    return torch.minimum(sample.gt_instances.bboxes.cpu().long().clamp(min=0), limits).tolist()


def _pad_masks(samples: Sequence[DetDataSample], size: Sequence[int]) -> None:
    """Masks as bitmaps of one size, so that those of different images can be put together."""
    for sample in samples:
        for key in ('gt_instances', 'ignored_instances'):
            if 'masks' in sample.get(key, ()):
                masks = sample.get(key).masks.pad(tuple(size))
                sample.get(key).masks = _bitmaps(masks, size)


def _bitmaps(masks: object, size: Sequence[int]) -> object:
    from mmdet.structures.mask import BitmapMasks  # seconds that other models need not wait for
    return masks if isinstance(masks, BitmapMasks) else BitmapMasks(masks.to_ndarray().astype(np.uint8), *size)


def _is_in(progress: float, window: tuple[float, float]) -> bool:
    return window[0] <= progress < window[1]


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))

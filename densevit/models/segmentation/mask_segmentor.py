"""A mask-classification network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Literal

from mmengine.structures import BaseDataElement
from torch import Tensor

from ...networks.segmentation import InstanceReader, MaskTarget
from ...networks.segmentation.base import MaskNetwork
from ...registry import MODELS
from ..row_maps import RowMaps, to_original_size
from .mask_scores import MaskLogits, MaskScores
from .options import SegmentationOptions
from .predictions import instance_fields, panoptic_fields
from .segmentor import Segmentor
from .targets import build_targets, check_task


@MODELS.register_module()
class MaskSegmentor(Segmentor):
    """Segments images by classifying masks.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: The number of classes, C.
        task: Decides the targets and how predictions are read. ``'semantic'`` learns from ``gt_sem_seg`` and gives
            ``pred_sem_seg``, as mmsegmentation's models do; ``'instance'`` learns from
            ``gt_instances`` and gives ``pred_instances``, ``'panoptic'`` learns from both and gives
            ``pred_panoptic_seg``, as mmdetection's do.
        criterion: Options of the network's loss: :class:`densevit.networks.segmentation.MaskClassificationLoss` if
            it has none of its own.
        test_cfg: See :class:`Segmentor`; windows are averaged in semantic segmentation only. Instances and panoptic
            maps also have the options of :class:`densevit.networks.segmentation.InstanceReader` and of the network's
            ``panoptic_reader``.
        stuff_classes: Ids of the classes that are not counted, for ``'panoptic'``.
        ignore_index: Label of pixels that belong to no class.
        data_preprocessor: Config of what makes (B, 3, H, W) normalised images of a batch.
        init_cfg: Config of mmengine's initialisation.
    """
    network_class = MaskNetwork

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        num_classes: int,
        task: Literal['semantic', 'instance', 'panoptic'] = 'semantic',
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        stuff_classes: Collection[int] = (),
        ignore_index: int = 255,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        check_task(task)
        self.task, self.stuff_classes = task, frozenset(stuff_classes)
        if wrong := sorted(self.stuff_classes - set(range(num_classes if task == 'panoptic' else 0))):
            raise ValueError(f'stuff_classes has {wrong}: they are ids of 0 to {num_classes - 1} for '
                             f"task='panoptic', and task is '{task}'")
        super().__init__(backbone, head, num_classes, criterion, test_cfg, ignore_index, data_preprocessor, init_cfg)
        self._warned = False

    @property
    def postprocessor(self) -> Callable | None:
        return dict(instance=InstanceReader, panoptic=self.network.panoptic_reader).get(self.task)

    def check_options(self, options: SegmentationOptions) -> None:
        super().check_options(options)
        if options.mode == 'slide' and self.task != 'semantic':
            raise ValueError("mode='slide' averages windows, which only semantic segmentation can: set mode='whole' "
                             f"for task='{self.task}'")

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        targets = build_targets(data_samples, self.task, self.num_classes, self.ignore_index, self.stuff_classes)
        for target, sample in zip(targets, data_samples, strict=True):
            self.check_padded(inputs, target.masks.shape[-2:], sample)
        targets = [MaskTarget(target.labels, self.pad(target.masks)) for target in targets]
        predictions = self.network(self.pad(inputs))
        most, queries = max(len(target.labels) for target in targets), predictions[-1].classes.shape[1]
        if 0 < queries < most and not self._warned:  # 0 are those of a network that classifies points in training
            self._warned = True
            warnings.warn(f'an image has {most} segments and the network {queries} queries: the others are not '
                          'learned; set head.num_queries above the most segments of an image', stacklevel=2)
        return self.criterion(predictions, targets)

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: SegmentationOptions,
    ) -> Iterator[dict[str, Any]]:
        """What the task predicts for each image."""
        if self.task == 'semantic':
            yield from super().predict_each(images, samples, options)
            return
        for sample, (logits_of, classes) in zip(samples, self._proposals(images), strict=True):
            yield self._segments(sample, logits_of, classes, options)

    def whole_scores(self, images: Tensor) -> list[RowMaps]:
        return [MaskScores(logits_of(), classes) for logits_of, classes in self._proposals(images)]

    def _segments(
        self,
        sample: BaseDataElement,
        logits_of: Callable[..., RowMaps],
        classes: Tensor,
        options: SegmentationOptions,
    ) -> dict[str, Any]:
        """Fields of instances or of a panoptic map."""
        every = to_original_size(logits_of(), sample)
        band_bytes = options.band_bytes(classes.device)
        if self.task == 'instance':
            reader = InstanceReader(classes, every.size, **options.postprocess)
            return instance_fields(reader, lambda queries: to_original_size(logits_of(queries), sample), every.size,
                                   band_bytes, options.encode_masks)
        reader = self.network.panoptic_reader(classes, self.stuff_classes, every.size, **options.postprocess)
        wanted = to_original_size(logits_of(reader.queries), sample)
        fields = panoptic_fields(reader, wanted, self.num_classes, self.stuff_classes, band_bytes)
        if options.semantic:
            scores = to_original_size(MaskScores(logits_of(), classes), sample)
            fields |= self.read_scores(scores, classes.device, options)
        return fields

    def _proposals(self, images: Tensor) -> list[tuple[Callable[..., RowMaps], Tensor]]:
        """For each image, a function that gives the mask logits of all or some queries, and class logits (Q, C + 1)."""
        padded = self.pad(images)
        answer = self.network(padded)[-1]
        return [(partial(MaskLogits.stored, self.network, masks, padded.shape[-2:], images.shape[-2:]), classes.float())
                for masks, classes in zip(answer.masks, answer.classes, strict=True)]

    def confidence(self, best: Tensor, scores: Tensor) -> Tensor:
        """The best score divided by the sum of all: scores are sums of probabilities."""
        return best / scores.sum(0).clamp(min=1e-12)

"""What the segmentation models have in common: classes, and their scores at each pixel."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ...networks.segmentation.base import SegmentationNetwork
from ..base import DenseModel
from ..row_maps import RowMaps, maps_of_images
from .options import SegmentationOptions
from .predictions import semantic_fields


class Segmentor(DenseModel):
    """A segmentation network with its loss, as an mmengine model.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: The number of classes, C.
        criterion: Options of the network's loss.
        test_cfg: ``dict(mode='whole')``, or ``dict(mode='slide', crop_size=(h, w), stride=None)`` to average windows:
            evenly spread ones without a stride. Other keys are those of :class:`SegmentationOptions`.
        ignore_index: Label of pixels that belong to no class.
        data_preprocessor: Config of what makes (B, 3, H, W) normalised images of a batch.
        init_cfg: Config of mmengine's initialisation.
    """
    network_class = SegmentationNetwork
    options_class = SegmentationOptions
    task: Literal['semantic', 'instance', 'panoptic'] = 'semantic'

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        num_classes: int,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        ignore_index: int = 255,  # void in the 8-bit label maps of ADE20K, Cityscapes, Pascal VOC
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if 0 <= ignore_index < num_classes:
            remedy = ('set model.ignore_index=255, and 255 in the labels' if num_classes <= 255 else
                      'mmseg.LoadAnnotations reads labels in 8 bits, 255 classes and void: load 16 bits by a transform '
                      'of your own and set model.ignore_index=65535')
            raise ValueError(f'ignore_index={ignore_index} is one of the {num_classes} classes, which nothing would '
                             f'learn: {remedy}')
        self.ignore_index = ignore_index
        super().__init__(backbone, head, num_classes, criterion, test_cfg, data_preprocessor, init_cfg)

    def check_options(self, options: SegmentationOptions) -> None:
        for option, task in (('encode_masks', 'instance'), ('semantic', 'panoptic')):
            if getattr(options, option) and self.task != task:
                raise ValueError(f"{option} is for task='{task}': leave it out for task='{self.task}'")

    def check_padded(self, inputs: Tensor, size: Sequence[int], sample: BaseDataElement) -> None:
        """See that the annotation of an image has its size in the batch.

        Raises:
            ValueError: It has not; the message says what pads it.
        """
        if tuple(size) == tuple(inputs.shape[-2:]):
            return
        preprocessor = self.data_preprocessor
        if self.task == 'semantic' and 'sem_seg' not in sample.gt_sem_seg:  # mmsegmentation's
            remedy = "set model.data_preprocessor.type='mmseg.SegDataPreProcessor', with size or size_divisor"
        elif not hasattr(preprocessor, 'pad_mask'):
            remedy = "set model.data_preprocessor.type='mmdet.DetDataPreprocessor', with pad_mask=True and pad_seg=True"
        elif not (preprocessor.pad_mask and preprocessor.pad_seg):
            remedy = 'set pad_mask=True and pad_seg=True in model.data_preprocessor'
        else:
            remedy = 'a transform of the pipeline changes one of them alone: correct it'
        raise ValueError(f'the images of the batch are {tuple(inputs.shape[-2:])} pixels with their pads, and the '
                         f'labels of one {tuple(size)}: {remedy}')

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: SegmentationOptions,
    ) -> Iterator[dict[str, Any]]:
        """``pred_sem_seg`` and ``seg_confidence`` of each image; ``keep_scores`` adds ``seg_logits``."""
        for scores in self.score_maps(images, samples, options):
            yield self.read_scores(scores, images.device, options)

    @torch.no_grad()
    def class_scores(self, images: Tensor, **options: Any) -> Tensor:
        """Class scores (B, C, H, W) of images (B, 3, H, W), whole or averaged over windows."""
        maps = self.score_maps(images, options=self.options_of_call(options))
        return torch.stack([scores.rows(0, scores.size[0]) for scores in maps])

    def score_maps(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement] | None = None,
        options: SegmentationOptions | None = None,
    ) -> Iterator[RowMaps]:
        """Class scores of each of (B, 3, H, W) images, to be read some rows at a time.

        They lie over the original images if there are data samples, else over the given ones. In ``'slide'`` mode
        the network runs while they are read.
        """
        layout = (options or self.options).windows(len(images))
        return maps_of_images(images, samples, self.whole_scores, layout)

    def read_scores(
        self,
        scores: RowMaps,
        device: torch.device,
        options: SegmentationOptions | None = None,
    ) -> dict[str, Any]:
        """The fields of a data sample that class scores tell."""
        options = options or self.options
        return semantic_fields(scores, self.confidence, options.band_bytes(device), device, options.keep_scores)

    def whole_scores(self, images: Tensor) -> list[RowMaps]:
        """Class scores of each of (B, 3, H, W) images that the network sees as a whole."""
        raise NotImplementedError

    def confidence(self, best: Tensor, scores: Tensor) -> Tensor:
        """The share in [0, 1] of the best of scores (C, h, W) at each pixel, (h, W)."""
        raise NotImplementedError

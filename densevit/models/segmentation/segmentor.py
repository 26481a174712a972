"""What the segmentation models have in common: modes, padding and windows."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ...backbones import pad_to_multiple
from ...networks.segmentation.base import SegmentationNetwork
from ...registry import MODELS
from ..row_maps import ScoreMap, WindowScores
from .options import split_options
from .predictions import semantic_fields, shown_size, to_original_size


class Segmentor(BaseModel):
    """A segmentation network with its loss, as an mmengine model.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: C.
        criterion: Options of the network's loss.
        test_cfg: ``dict(mode='whole')``, or ``dict(mode='slide', crop_size=(h, w), stride=None)`` to average windows:
            evenly spread ones without a stride. Other keys are those of :class:`PredictionOptions`.
        ignore_index: Label of pixels that belong to no class.
    """
    network_class: type[SegmentationNetwork]
    task: Literal['semantic', 'instance', 'panoptic'] = 'semantic'

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        num_classes: int,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        ignore_index: int = 255,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if 0 <= ignore_index < num_classes:
            remedy = ('set model.ignore_index=255, and 255 in the labels' if num_classes <= 255 else
                      'mmseg.LoadAnnotations reads labels in 8 bits, 255 classes and void: load 16 bits by a transform '
                      'of your own and set model.ignore_index=65535')
            raise ValueError(f'ignore_index={ignore_index} is one of the {num_classes} classes, which nothing would '
                             f'learn: {remedy}')
        self.network = build_network(head, backbone, num_classes)
        if not isinstance(self.network, self.network_class):
            raise ValueError(f'{type(self).__name__} trains a {self.network_class.__name__}, and '
                             f"head.type='{head['type']}' is none: choose another model.type")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.criterion = self._build_criterion(criterion or {})
        self.options, self.reading = split_options(test_cfg, self._reader())
        for option, task in (('encode_masks', 'instance'), ('semantic', 'panoptic')):
            if getattr(self.options, option) and self.task != task:
                raise ValueError(f"test_cfg.{option} is for task='{task}': leave it out for task='{self.task}'")

    @property
    def backbone(self) -> nn.Module:
        return self.network.backbone

    def init_weights(self) -> None:
        super().init_weights()
        if hasattr(self.backbone, 'init_weights'):
            self.backbone.init_weights()

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: Literal['tensor', 'loss', 'predict'] = 'tensor',
    ) -> Any:
        """Losses, predictions or what the network gives for (B, 3, H, W) normalised images."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.network(inputs)

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        raise NotImplementedError

    def _check_padded(self, inputs: Tensor, size: Sequence[int], sample: BaseDataElement) -> None:
        """See that the annotation of an image has its size in the batch, and say what pads it if it has not."""
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

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
    ) -> list[BaseDataElement]:
        """Data samples with ``pred_sem_seg`` and ``seg_confidence`` at the original image size.

        ``test_cfg.keep_scores`` adds ``seg_logits``.
        """
        samples = [BaseDataElement() for _ in inputs] if data_samples is None else list(data_samples)
        for sample, scores in zip(samples, self.score_maps(inputs, samples), strict=True):
            sample.set_data(self.read_scores(scores, inputs.device))
        return samples

    def class_scores(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W) class scores, whole or averaged over windows."""
        return torch.stack([scores.rows(0, scores.size[0]) for scores in self.score_maps(images)])

    def score_maps(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement] | None = None,
    ) -> Iterator[ScoreMap]:
        """Class scores of each of (B, 3, H, W) images, to be read some rows at a time.

        They lie over the original images if there are data samples, else over the given ones. In ``'slide'`` mode
        the network runs while they are read.
        """
        layout = self.options.windows(len(images))
        whole = self.whole_scores(images) if layout is None else None
        for index, image in enumerate(images):
            if layout is None:
                scores = whole[index]
            else:  # of what the image shows: windows do not depend on what a batch was padded to
                height, width = image.shape[-2:] if samples is None else shown_size(samples[index], image.shape[-2:])
                scores = WindowScores(image[:, :height, :width], self.num_classes, layout, self.whole_scores)
            yield scores if samples is None else to_original_size(scores, samples[index])

    def read_scores(self, scores: ScoreMap, device: torch.device) -> dict[str, Any]:
        """The fields of a data sample that class scores tell."""
        band_bytes = self.options.band_bytes(device)
        return semantic_fields(scores, self._confidence, band_bytes, device, self.options.keep_scores)

    def whole_scores(self, images: Tensor) -> list[ScoreMap]:
        """Class scores of each of (B, 3, H, W) images that the network sees as a whole."""
        raise NotImplementedError

    def _confidence(self, best: Tensor, scores: Tensor) -> Tensor:
        """The share in [0, 1] of the best of scores (C, h, W) at each pixel, (h, W)."""
        raise NotImplementedError

    def _build_criterion(self, options: dict[str, Any]) -> nn.Module:
        return self.network.loss_class(self.num_classes, **options)

    def _reader(self) -> Callable | None:
        """What has the options in ``test_cfg`` that not all tasks have."""
        return None

    def _pad(self, images: Tensor) -> Tensor:
        """Whole patches, so that what the network predicts and the images cover the same."""
        return pad_to_multiple(images, self.network.size_divisor)


def build_network(head: dict[str, Any], backbone: dict[str, Any], num_classes: int) -> SegmentationNetwork:
    """A network around a backbone, from configs.

    What ``head`` holds as ``dict(type=..., backbone=dict(...))``, such as the proposer of ViT-P, is a network of its
    own and is built first, with as many classes unless it says how many.
    """
    nested = {
        name: build_network(value, value['backbone'], value.get('num_classes', num_classes))
        for name, value in head.items() if isinstance(value, dict) and {'type', 'backbone'} <= value.keys()
    }
    return MODELS.build({**head, **nested, 'backbone': MODELS.build(backbone), 'num_classes': num_classes})

"""What the segmentation models have in common: modes, padding and windows."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..backbones import pad_to_multiple
from ..heads.segmentation.networks import SegmentationNetwork
from ..layers import average_windows
from ..registry import MODELS
from .segment_predictions import semantic_fields, to_original_size


class Segmentor(BaseModel):
    """A segmentation network with its loss, as an mmengine model.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: C.
        criterion: Options of the network's loss.
        test_cfg: ``dict(mode='whole')``, or ``dict(mode='slide', crop_size=(h, w), stride=None)`` to average windows:
            evenly spread ones without a stride.
        ignore_index: Label of pixels that belong to no class.
    """
    network_class: type[SegmentationNetwork]

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
        self.network = MODELS.build(dict(head, backbone=MODELS.build(backbone), num_classes=num_classes))
        if not isinstance(self.network, self.network_class):
            raise ValueError(f'{type(self).__name__} trains a {self.network_class.__name__}, and '
                             f"head.type='{head['type']}' is none: choose another model.type")
        self.criterion = self.network.loss_class(num_classes, **(criterion or {}))
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.reading = dict(test_cfg or {})
        self.window = _take_window(self.reading)

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

    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
    ) -> list[BaseDataElement]:
        """Data samples with ``pred_sem_seg`` and ``seg_logits`` at the original image size."""
        samples = [BaseDataElement() for _ in inputs] if data_samples is None else list(data_samples)
        for sample, scores in zip(samples, self.class_scores(inputs), strict=True):
            sample.set_data(semantic_fields(to_original_size(scores, sample)))
        return samples

    def class_scores(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W) class scores, whole or averaged over windows."""
        if self.window is None:
            return self._scores(images)
        return average_windows(images, self.window['crop_size'], self._scores, self.window.get('stride'))

    def _scores(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W) class scores of whole images."""
        raise NotImplementedError

    def _pad(self, images: Tensor) -> Tensor:
        """Whole patches, so that what the network predicts and the images cover the same."""
        return pad_to_multiple(images, self.network.size_divisor)


def _take_window(test_cfg: dict[str, Any]) -> dict[str, Any] | None:
    """Take the inference mode out of a ``test_cfg``; None for whole images.

    Raises:
        ValueError: The mode is unknown, or windows lack a size.
    """
    mode = test_cfg.pop('mode', 'whole')
    if mode not in ('whole', 'slide'):
        raise ValueError(f"test_cfg.mode='{mode}': choose 'whole' or 'slide'")
    window = {key: test_cfg.pop(key) for key in ('crop_size', 'stride') if key in test_cfg}
    if mode == 'slide' and 'crop_size' not in window:
        raise ValueError("test_cfg.mode='slide' needs crop_size=(height, width) of the windows")
    return window if mode == 'slide' else None

"""What models of all tasks share: building, padding, modes, options and weights.

From images to results::

    data_preprocessor                 uint8 images of a batch -> normalised (B, 3, H, W)
    DenseModel.pad                    zeros at the right and bottom -> whole patches
    network(padded)                   -> logits, masks, boxes, depth ... at a resolution of its own
    row_maps.StoredMaps / WindowedMaps    those of an image, or of its windows, as rows over its H x W pixels
    .resized                          rows over the image as it was before it was resized: ``ori_shape``
    task's predictions.py             rows, a few at a time -> labels, masks, ... as fields of a data sample

Nothing of the last three lines exists at full size but the fields themselves, see :mod:`densevit.models.row_maps`.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..backbones import pad_to_multiple
from ..networks.base import Network
from .build import build_network
from .options import PredictionOptions


class DenseModel(BaseModel):
    """A network with its loss, as an mmengine model.

    A task's model has a ``task``, a ``network_class`` and an ``options_class``, and implements :meth:`loss` and
    :meth:`predict_each`.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``); None for a network that has none.
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: The number of classes C; None for networks that have none.
        criterion: Options of the network's loss.
        test_cfg: Options of prediction; what a call of :meth:`predict` or :meth:`test_step` says wins over them.
        data_preprocessor: Config of what makes (B, 3, H, W) normalised images of a batch.
        init_cfg: Config of mmengine's initialisation.

    Attributes:
        task: The name by which inference finds how results of this model are read and shown.
        network_class: What a network must be for this model.
        options_class: The class of the options of prediction.
        options: The options that ``test_cfg`` sets, with their defaults.

    Raises:
        ValueError: The network is not of ``network_class``, or an option of ``test_cfg`` is unknown or makes no sense.
    """
    task: str
    network_class: ClassVar[type[Network]] = Network
    options_class: ClassVar[type[PredictionOptions]] = PredictionOptions

    def __init__(
        self,
        backbone: dict[str, Any] | None,
        head: dict[str, Any],
        num_classes: int | None = None,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.network = build_network(head, backbone, num_classes)
        if not isinstance(self.network, self.network_class):
            raise ValueError(f'{type(self).__name__} trains a {self.network_class.__name__}, and '
                             f"head.type='{head['type']}' is none: choose another model.type")
        self.num_classes = num_classes
        self.criterion = self.build_criterion(criterion or {})
        try:
            self.options = self.options_class().override(test_cfg or {}, self.postprocessor)
            self.check_options(self.options)
        except ValueError as error:
            raise ValueError(f'test_cfg.{error}') from None

    @property
    def backbone(self) -> nn.Module | None:
        return self.network.backbone

    @property
    def postprocessor(self) -> Callable | None:
        """What makes results of the network's answer, if its keyword arguments with a default are options."""
        return None

    def build_criterion(self, options: dict[str, Any]) -> nn.Module:
        """The loss of the network, which is given the number of classes if there is one."""
        classes = () if self.num_classes is None else (self.num_classes, )
        return self.network.loss_class(*classes, **options)

    def check_options(self, options: PredictionOptions) -> None:
        """See that the model can predict with these options.

        Raises:
            ValueError: It cannot; the message begins with the name of the option.
        """

    def init_weights(self) -> None:
        super().init_weights()
        if hasattr(self.backbone, 'init_weights'):
            self.backbone.init_weights()

    def pad(self, maps: Tensor, value: float = 0.) -> Tensor:
        """Pad images or annotations (..., H, W) at the right and bottom to whole multiples of ``size_divisor``.

        All that the network sees or learns from is padded here, so that what it predicts and the images cover the same.

        Args:
            maps: Images (B, 3, H, W), masks (n, H, W) or labels (B, H, W).
            value: What the pads hold, ``ignore_index`` for labels.
        """
        return pad_to_multiple(maps, self.network.size_divisor, value)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: Literal['tensor', 'loss', 'predict'] = 'tensor',
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """What the network gives for (B, 3, H, W) normalised images, losses, or predictions with some options."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples, **(options or {}))
        return self.network(inputs)

    def test_step(self, data: dict[str, Any] | Sequence[Any], **options: Any) -> list[BaseDataElement]:
        """Predictions for a batch as a data loader gives it.

        Args:
            data: ``dict(inputs=..., data_samples=...)``, or a sequence of the two.
            options: Options of this call alone, see :meth:`prediction_options`.
        """
        batch = self.data_preprocessor(data, False)
        if isinstance(batch, Mapping):
            return self(**batch, mode='predict', options=options)
        return self(*batch, mode='predict', options=options)

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        raise NotImplementedError

    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        **options: Any,
    ) -> list[BaseDataElement]:
        """Predictions for (B, 3, H, W) normalised images, each over its original image.

        Args:
            inputs: The images of a batch.
            data_samples: They tell what an image shows, ``img_shape``, and its original size, ``ori_shape``, and are
                given the predictions; without them, images are taken as they are.
            options: Options of this call alone, see :meth:`prediction_options`.

        Raises:
            ValueError: An option is unknown, or its value makes no sense.
        """
        samples = [BaseDataElement() for _ in inputs] if data_samples is None else list(data_samples)
        settings = self.options_of_call(options)
        for sample, found in zip(samples, self.predict_each(inputs, samples, settings), strict=True):
            sample.set_data(found)
        return samples

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: PredictionOptions,
    ) -> Iterator[dict[str, Any]]:
        """The fields that the data sample of each image is given."""
        raise NotImplementedError

    def options_of_call(self, overrides: Mapping[str, Any]) -> PredictionOptions:
        """The model's options with others for one call.

        Raises:
            ValueError: An option is unknown, or its value makes no sense.
        """
        if not overrides:
            return self.options
        options = self.options.override(overrides, self.postprocessor)
        self.check_options(options)
        return options

    def prediction_options(self) -> dict[str, Any]:
        """Every option that a call may set, with the value that is in force without it: ``test_cfg``'s or a default."""
        return self.options.to_dict(self.postprocessor)

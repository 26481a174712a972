"""A matting network as an mmengine model: images with trimaps in, losses or opacities out."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from ...networks.matting import MattingNetwork
from ...registry import MODELS
from ..base import DenseModel
from ..options import PredictionOptions
from ..row_maps import map_over_image, shown_size

# Of a training pipeline that gives no such thing.
_REMEDIES = dict(
    gt_alpha="add dict(type='densevit.LoadAlpha') behind LoadImage",
    trimap="add dict(type='densevit.RandomTrimap') before densevit.PackMatting, or give densevit.LoadAlpha a "
    'trimap_width')


@dataclass(frozen=True)
class MattingOptions(PredictionOptions):
    """The options of one call of a model of matting.

    Attributes:
        keep_known: Whether the opacity is 0 and 1 where the trimap says so, whatever the network says.
    """
    keep_known: bool = True

    def __post_init__(self) -> None:
        """See that the options make sense.

        Raises:
            ValueError: One does not.
        """
        if not isinstance(self.keep_known, bool):
            raise ValueError(f'keep_known={self.keep_known!r}: give True or False')


@MODELS.register_module()
class MattingModel(DenseModel):
    """Tells how opaque each pixel of an object is, of which a trimap says where it surely is and where it is not.

    The trimap of a data sample, ``trimap`` (1, H, W), is 0 in the background, 1 in the foreground and 0.5 where the
    network is to tell; without one, everything is unknown. Images are learned from with ``gt_alpha`` (1, H, W) in
    [0, 1], and get ``pred_alpha`` (1, H, W) over the original image. All are ``PixelData``.

    Args:
        backbone: Config of a backbone with ``in_chans=4`` (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone.
        criterion: Options of the loss, see :class:`densevit.networks.matting.losses.MattingLoss`.
        test_cfg: Options of prediction, see :class:`MattingOptions`.
        data_preprocessor: Config of what makes (B, 3, H, W) normalised images of a batch.
        init_cfg: Config of mmengine's initialisation.
    """
    task = 'matting'
    network_class = MattingNetwork
    options_class = MattingOptions

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, head, None, criterion, test_cfg, data_preprocessor, init_cfg)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: Literal['tensor', 'loss', 'predict'] = 'tensor',
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """What the network gives for (B, 3, H, W) normalised images and their trimaps, losses, or predictions."""
        if mode == 'tensor':
            samples = [BaseDataElement() for _ in inputs] if data_samples is None else data_samples
            return self._alpha(inputs, self._trimaps(inputs, samples))
        return super().forward(inputs, data_samples, mode, options)

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images.

        Raises:
            ValueError: An opacity or a trimap is missing, or has not the size of its image.
        """
        size = inputs.shape[-2:]
        for sample in data_samples:
            shown = shown_size(sample, size)
            for name in ('gt_alpha', 'trimap'):
                if name not in sample:
                    raise ValueError(f'{sample.get("img_path", "a sample")} has no {name} to learn from: '
                                     f'{_REMEDIES[name]}')
                if (shape := tuple(sample.get(name).data.shape[1:])) not in (shown, tuple(size)):
                    raise ValueError(f'{name} of {sample.get("img_path", "a sample")} has {shape} pixels and its image '
                                     f'{shown}: load opacities before the image is resized, by transforms that change '
                                     'both')
        trimap = self._trimaps(inputs, data_samples)
        alpha = torch.stack([self._padded(sample.gt_alpha.data.float(), sample, size, 0.) for sample in data_samples])
        return self.criterion(self._alpha(inputs, trimap), self.pad(alpha), self.pad(trimap, -1.))

    def _alpha(self, inputs: Tensor, trimap: Tensor) -> Tensor:
        """Opacities (B, h, w) over the padded images; beside an image there is background, as in the authors' code."""
        return self.network(self.pad(torch.cat((inputs, trimap.clamp(min=0).unsqueeze(1).to(inputs)), dim=1)))

    def _trimaps(self, inputs: Tensor, samples: Sequence[BaseDataElement]) -> Tensor:
        """(B, H, W) float32 over the images of a batch, resized to those that were; -1 beside an image."""
        size, trimaps = inputs.shape[-2:], []
        for sample in samples:
            shown = shown_size(sample, size)
            data = sample.trimap.data.float() if 'trimap' in sample else inputs.new_full((1, *shown), .5).float()
            if tuple(data.shape[1:]) not in (shown, tuple(size)):
                data = F.interpolate(data[None], shown, mode='nearest-exact')[0]
            trimaps.append(self._padded(data, sample, size, -1.))
        return torch.stack(trimaps)

    @staticmethod
    def _padded(data: Tensor, sample: BaseDataElement, size: Sequence[int], value: float) -> Tensor:
        """What (1, H, W) shows of an image as (H, W) of the batch."""
        height, width = shown_size(sample, size)
        return F.pad(data[0, :height, :width], (0, size[1] - width, 0, size[0] - height), value=value)

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: MattingOptions,
    ) -> Iterator[dict[str, Any]]:
        """``pred_alpha`` of each image."""
        alphas = self._alpha(images, self._trimaps(images, samples))
        for alpha, sample in zip(alphas, samples, strict=True):
            alpha = map_over_image(alpha, alpha.shape, images.shape[-2:], sample)
            if options.keep_known and 'trimap' in sample:
                trimap = sample.trimap.data
                if trimap.shape != alpha.shape:  # of an image that was resized
                    trimap = F.interpolate(trimap[None].float(), alpha.shape[-2:], mode='nearest-exact')[0]
                alpha = torch.where(trimap == .5, alpha, trimap.to(alpha))
            yield dict(pred_alpha=PixelData(data=alpha))

"""A depth network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import radians, sqrt, tan
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from ...networks.depth import DepthNetwork, DepthPrediction
from ...registry import MODELS
from ..base import DenseModel
from ..options import PredictionOptions
from ..row_maps import map_over_image, shown_size


@dataclass(frozen=True)
class DepthOptions(PredictionOptions):
    """The options of one call of a model of depth.

    Attributes:
        flip: Whether an image and its mirror image are predicted and averaged, as published figures are.
        fov: Degrees along the longer side of an image whose focal length nobody tells, for networks whose metres depend
            on it: about that of a Kinect and of a phone's main camera.
    """
    flip: bool = False
    fov: float = 60.

    def __post_init__(self) -> None:
        """See that the options make sense.

        Raises:
            ValueError: One does not.
        """
        if not isinstance(self.flip, bool):
            raise ValueError(f'flip={self.flip!r}: give True or False')
        if isinstance(self.fov, bool) or not isinstance(self.fov, int | float) or not 1 <= self.fov <= 170:
            raise ValueError(f'fov={self.fov!r}: give degrees from 1 to 170')


@MODELS.register_module()
class MonocularDepth(DenseModel):
    """Estimates the depth of each pixel from one image.

    It learns from ``gt_depth_map`` (1, H, W) in metres, at most 0 or not finite where the depth is not known, and gives
    ``pred_depth_map`` (1, H, W) over the original image, in the unit of the network's ``kind``; both are ``PixelData``,
    under the names that mmsegmentation has for them. ``gt_sky`` (1, H, W), where a sample has it, is 1 for sky, 0 for
    none and -1 where nobody knows.

    Where the network has a ``canonical_focal``, the camera of a sample (``camera``, the four numbers ``fx, fy, cx, cy``
    in pixels of the image as the network sees it) turns metres into those of the canonical camera in training, and back
    in prediction (Metric3D, arXiv:2307.10984, section 3.2, the labels' form). Without a camera the angle ``fov`` is
    presumed of the whole image, ``ori_shape``, of which ``zoom`` tells how large a part is seen: the pixels that one of
    the whole image has become.

    ``pred_depth_map`` tells its ``kind``, ``flip`` where it is the mean with that of the mirrored image and, of
    networks with a canonical focal length, as ``focal`` that in pixels of the original image which the metres were made
    with. ``pred_sky`` (1, H, W) bool is there of networks that tell the sky.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone.
        criterion: Options of the loss, see :class:`densevit.networks.depth.losses.DepthLoss`.
        test_cfg: Options of prediction, see :class:`DepthOptions`.
        data_preprocessor: Config of what makes (B, 3, H, W) normalised images of a batch.
        init_cfg: Config of mmengine's initialisation.
    """
    task = 'depth'
    network_class = DepthNetwork
    options_class = DepthOptions

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

    @property
    def kind(self) -> str:
        """What predictions are: ``'metric'``, ``'relative_depth'`` or ``'relative_disparity'``."""
        return self.network.kind

    def build_criterion(self, options: dict[str, Any]) -> nn.Module:
        return super().build_criterion(dict(options, kind=self.network.kind))

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        size = inputs.shape[-2:]
        depth = torch.stack([self._target(sample, 'gt_depth_map', size, 0.) for sample in data_samples])
        if self.network.needs_focal:
            factors = [self.network.canonical_focal / self.focal(sample, size, self.options) for sample in data_samples]
            depth = depth * depth.new_tensor(factors)[:, None, None]
        sky = None
        if any('gt_sky' in sample for sample in data_samples):
            sky = self.pad(torch.stack([self._target(sample, 'gt_sky', size, -1.) for sample in data_samples]), -1.)
        return self.criterion(self.network(self.pad(inputs)), self.pad(depth), sky)

    @staticmethod
    def _target(sample: BaseDataElement, name: str, size: Sequence[int], unknown: float) -> Tensor:
        """A map (H, W) of a sample, padded as its image is, with what is not known.

        Raises:
            ValueError: It has not the size of its image.
        """
        height, width = shown_size(sample, size)
        if name not in sample:
            return torch.full(tuple(size), unknown, device=sample.gt_depth_map.data.device)
        data = sample.get(name).data[0].float()
        if data.shape not in ((height, width), tuple(size)):
            raise ValueError(f'{name} of {sample.get("img_path", "a sample")} has {tuple(data.shape)} pixels and its '
                             f'image {(height, width)}: load depth before the image is resized, by transforms that '
                             'change both')
        # A preprocessor may have padded it, with what its losses leave out and ours would take for metres.
        return F.pad(data[:height, :width], (0, size[1] - width, 0, size[0] - height), value=unknown)

    def focal(self, sample: BaseDataElement, size: Sequence[int], options: DepthOptions) -> float:
        """The focal length in pixels of the image as the network sees it."""
        camera = sample.get('camera')
        if camera is not None:
            return sqrt(float(camera[0]) * float(camera[1]))
        zoom = sample.get('zoom')
        side = max(shown_size(sample, size)) if zoom is None else zoom * max(sample.ori_shape[:2])
        return side / 2 / tan(radians(options.fov) / 2)

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: DepthOptions,
    ) -> Iterator[dict[str, Any]]:
        """``pred_depth_map`` of each image."""
        padded = self.pad(images)
        answer = self.network(padded)
        if options.flip:
            answer = self._with_mirrored(answer, images, samples)
        for index, sample in enumerate(samples):
            maps, meta = answer.depth[index].float(), dict(kind=self.kind)
            if options.flip:
                meta['flip'] = True
            if self.network.needs_focal:
                shown = shown_size(sample, images.shape[-2:])
                focal = self.focal(sample, images.shape[-2:], options)
                maps = maps * (focal / self.network.canonical_focal)
                original = sample.get('ori_shape', shown)[:2]
                meta['focal'] = focal * sqrt(original[0] / shown[0] * original[1] / shown[1])
            depth = map_over_image(maps, padded.shape[-2:], images.shape[-2:], sample)
            fields = dict(pred_depth_map=PixelData(metainfo=meta, data=depth))
            if answer.sky is not None:
                sky = map_over_image(answer.sky[index].float(), padded.shape[-2:], images.shape[-2:], sample)
                fields['pred_sky'] = PixelData(data=sky >= self.network.sky_threshold)
            yield fields

    def _with_mirrored(self, answer: DepthPrediction, images: Tensor, samples: Sequence[BaseDataElement]
                       ) -> DepthPrediction:
        """The mean with what the network says of mirror images; pads stay at the right."""
        size, total = images.shape[-2:], torch.zeros_like(images)
        for index, sample in enumerate(samples):
            height, width = shown_size(sample, size)
            total[index, :, :height, :width] = images[index, :, :height, :width].flip(-1)
        padded = self.pad(total)
        mirrored = F.interpolate(self.network(padded).depth[:, None].float(), padded.shape[-2:], mode='bilinear')[:, 0]
        depth = F.interpolate(answer.depth[:, None].float(), padded.shape[-2:], mode='bilinear')[:, 0]
        for index, sample in enumerate(samples):
            height, width = shown_size(sample, size)
            own, other = depth[index, :height, :width], mirrored[index, :height, :width].flip(-1)
            depth[index, :height, :width] = (own + other) / 2
        return answer._replace(depth=depth)

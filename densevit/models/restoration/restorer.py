"""A restoration network as an mmengine model: data samples in, losses or restored images out."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ...networks.restoration import RestorationNetwork
from ...registry import MODELS
from ..base import DenseModel
from ..options import PredictionOptions
from ..row_maps import shown_size
from .preprocessor import to_unit


@MODELS.register_module()
class Restorer(DenseModel):
    """Restores images: super-resolution, noise, JPEG, blur, holes.

    It learns from ``gt_img`` (C, scale * H, scale * W) of data samples, of 8 or 16 bits, and gives ``pred_img`` of that
    shape, float32 in [0, 1].

    A network that fills holes is told of them by the ``mask`` (1, H, W) of data samples, bool, True where an image is
    to be filled. Elsewhere ``pred_img`` is the image.

    Args:
        head: Config of a network (``dict(type='densevit.SwinIR', ...)``).
        backbone: Config of a backbone, for networks around one.
        criterion: Options of the network's loss.
        test_cfg: Options of prediction.
        data_preprocessor: ``dict(type='densevit.RestorationPreprocessor')`` unless it is given.
        init_cfg: Config of mmengine's initialisation.
        trained_layers: Names of the network's modules whose own parameters are trained, as the command ``rank-layers``
            chooses them for a network that was pre-trained with masks; None to train all.

    Raises:
        ValueError: The network has no such module, or one without parameters of its own.
    """
    task = 'restoration'
    network_class = RestorationNetwork

    def __init__(
        self,
        head: dict[str, Any],
        backbone: dict[str, Any] | None = None,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        trained_layers: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            backbone, head, criterion=criterion, test_cfg=test_cfg,
            data_preprocessor=data_preprocessor or dict(type='densevit.RestorationPreprocessor'), init_cfg=init_cfg)
        if trained_layers is not None:
            self._train_only(set(trained_layers))

    def _train_only(self, layers: set[str]) -> None:
        owners = {name: name.rpartition('.')[0] for name, _ in self.network.named_parameters()}
        if unknown := sorted(layers - set(owners.values())):
            raise ValueError(f'trained_layers: the network has no layer {unknown[0]!r} with parameters; rank those of '
                             'its config with: densevit rank-layers')
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(owners[name] in layers)

    @property
    def scale(self) -> int:
        """How many times larger the sides of a restored image are."""
        return self.network.scale

    @property
    def takes(self) -> tuple[str, ...]:
        """What the model is told beside images: fields of data samples."""
        return ('mask', ) if self.network.takes_mask else ()

    def restore(self, images: Tensor, samples: Sequence[BaseDataElement]) -> Tensor:
        """What the network makes of (B, C, H, W) images in [0, 1] without pads, (B, C', scale * H, scale * W).

        Raises:
            ValueError: The network fills holes, and an image has no mask or one of another size.
        """
        if self.network.takes_mask:
            images = torch.cat((images, (~self.holes(images, samples)).to(images)), 1)
        return self.network(images)

    def holes(self, images: Tensor, samples: Sequence[BaseDataElement]) -> Tensor:
        """The masks of a batch, (B, 1, H, W) bool, True where an image is to be filled.

        Raises:
            ValueError: As in :meth:`restore`.
        """
        for sample in samples:
            name = sample.get('img_path') or 'an image'
            if 'mask' not in sample:
                raise ValueError(f'{name} has no mask of what is to be filled: give one to predict (mask=, --mask), or '
                                 "add dict(type='densevit.Holes') to the pipeline before densevit.PackPair")
            if sample.mask.shape[1:] != images.shape[2:]:
                raise ValueError(f'the mask of {name} has {tuple(sample.mask.shape[1:])} pixels and the image '
                                 f"{tuple(images.shape[2:])}: let dict(type='densevit.Holes') be the last transform "
                                 'before densevit.PackPair')
        return torch.stack([sample.mask for sample in samples])

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, C, H, W) images in [0, 1], all of one size; of hidden pixels alone where there is a ``mask``.

        The loss of a network that fills holes is told of the mask and may count other pixels as well.

        Raises:
            ValueError: A true image has another size than the restored one, or a mask is missing.
        """
        restored, targets = self.restored_and_true(inputs, data_samples)
        return self.pixel_losses(restored, targets, data_samples)

    def restored_and_true(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> tuple[Tensor, Tensor]:
        """What the network makes of images, and the true ones, both in [0, 1].

        Raises:
            ValueError: As in :meth:`loss`.
        """
        restored = self.restore(inputs, data_samples)
        return restored, torch.stack([to_unit(self.target(sample, restored)) for sample in data_samples])

    def pixel_losses(self, restored: Tensor, targets: Tensor, data_samples: Sequence[BaseDataElement]
                     ) -> dict[str, Tensor]:
        """The criterion of restored and true images, under the masks of the samples if they have any."""
        if 'mask' not in data_samples[0]:
            return self.criterion(restored, targets)
        mask = torch.stack([sample.mask for sample in data_samples])
        for axis in (2, 3):
            mask = mask.repeat_interleave(self.scale, axis)
        return self.criterion(restored, targets, mask)

    def target(self, sample: BaseDataElement, restored: Tensor) -> Tensor:
        """The true image of a sample, (C, scale * H, scale * W)."""
        target = sample.gt_img
        if target.shape != restored.shape[1:]:
            raise ValueError(f'{sample.get("gt_path", "a true image")} has {tuple(target.shape)} values (C, H, W), and '
                             f'the model makes {tuple(restored.shape[1:])}: set model.head.scale to that of the data, '
                             'and crop images of one batch to one size')
        return target

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: PredictionOptions,
    ) -> Iterator[dict[str, Any]]:
        """``pred_img`` of each image; those of one size together, since a network would see the pads of others."""
        sizes = [shown_size(sample, images.shape[-2:]) for sample in samples]
        found: dict[int, Tensor] = {}
        for size in dict.fromkeys(sizes):
            indices = [index for index, other in enumerate(sizes) if other == size]
            found.update(zip(indices, self._restored(images[indices, :, :size[0], :size[1]],
                                                     [samples[index] for index in indices]), strict=True))
        for index in range(len(samples)):
            yield dict(pred_img=found[index].float().clamp(0, 1))

    def _restored(self, images: Tensor, samples: Sequence[BaseDataElement]) -> Tensor:
        restored = self.restore(images, samples)
        if self.network.takes_mask:
            restored = torch.where(self.holes(images, samples), restored, images)
        return restored

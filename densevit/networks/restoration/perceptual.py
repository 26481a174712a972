"""How much restored images differ from true ones in the features of a VGG-19 (Johnson et al., arXiv:1603.08155)."""
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights

_MEAN, _STD = (.485, .456, .406), (.229, .224, .225)
# Convolutions of each stage of VGG-19 and their channels; a stage ends with a pooling that is not of its features.
_STAGES = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
# The last convolution of each, before its ReLU, and its place among torchvision's layers.
_LAYERS = dict(conv1_2=2, conv2_2=7, conv3_4=16, conv4_4=25, conv5_4=34)
# Of Real-ESRGAN: the fine stages tell little of how an image looks.
LAYER_WEIGHTS = dict(conv1_2=.1, conv2_2=.1, conv3_4=1., conv4_4=1., conv5_4=1.)


class PerceptualLoss(nn.Module):
    """Mean absolute difference of features, which are not trained.

    Args:
        layers: The weight of each layer, of ``conv1_2``, ``conv2_2``, ``conv3_4``, ``conv4_4`` and ``conv5_4``.
        pretrained: Whether to take torchvision's ImageNet weights, which it downloads (548 MB) where they are not in
            its cache.

    Raises:
        ValueError: A layer is unknown.
        OSError: The weights cannot be downloaded; the message says what to do.
    """

    def __init__(self, layers: Mapping[str, float] | None = None, pretrained: bool = True) -> None:
        super().__init__()
        self.layers = dict(layers or LAYER_WEIGHTS)
        if unknown := [name for name in self.layers if name not in _LAYERS]:
            raise ValueError(f'PerceptualLoss knows no layer {unknown[0]!r}: choose of {", ".join(_LAYERS)}')
        self.features = _features(max(_LAYERS[name] for name in self.layers) + 1)
        if pretrained:
            self.features.load_state_dict(_imagenet_weights(self.features.state_dict()))
        self.features.requires_grad_(False)
        self.register_buffer('mean', torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, restored: Tensor, target: Tensor) -> Tensor:
        """Compare (B, 3, H, W) in [0, 1] with the true images."""
        with torch.no_grad():
            expected = self._read(target)
        found = self._read(restored)
        return sum(weight * (found[name] - expected[name]).abs().mean() for name, weight in self.layers.items())

    def _read(self, images: Tensor) -> dict[str, Tensor]:
        x, found = (images - self.mean) / self.std, {}
        names = {_LAYERS[name]: name for name in self.layers}
        for index, part in enumerate(self.features):
            x = part(x)
            if index in names:
                found[names[index]] = x
        return found


def _features(depth: int) -> nn.Sequential:
    """The first layers of VGG-19, under torchvision's names."""
    layers: list[nn.Module] = []
    channels = 3
    for count, width in _STAGES:
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:depth])


def _imagenet_weights(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        state = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:
        raise OSError(f'the weights of VGG-19 cannot be downloaded ({error}): put vgg19-dcbb9e9d.pth of '
                      f'download.pytorch.org/models into {torch.hub.get_dir()}/checkpoints, or train without '
                      '(model.perceptual=None)') from error
    return {name: state[f'features.{name}'] for name in own}

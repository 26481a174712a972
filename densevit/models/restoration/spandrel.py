"""Architectures that spandrel (github.com/chaiNNer-org/spandrel, MIT) tells by the names of a checkpoint."""
from __future__ import annotations

import os

import torch
from torch import Tensor

from ...errors import one_line
from ...networks.restoration import RestorationNetwork
from ...registry import MODELS
from ...weights.load_report import WeightsError
from ...weights.reading import read_state_dict

_LUMA = (.299, .587, .114)
INSTALL = "pip install 'densevit[spandrel]'"


@MODELS.register_module()
class SpandrelNet(RestorationNetwork):
    """Any network of restoration that spandrel knows, with its weights; it predicts and is not trained here.

    One of grey images is given the luma of colours (ITU-R BT.601), and its answer is grey. Files are read as all
    weights are here, without running code.

    Args:
        file: A checkpoint: PyTorch's or safetensors.

    Raises:
        ImportError: spandrel is not installed; the message says how to get it.
        WeightsError: The file cannot be read, or is of no architecture that spandrel knows, or of one that fills masks.
    """

    def __init__(self, file: str | os.PathLike) -> None:
        try:
            from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
        except ImportError as error:
            raise ImportError(f'spandrel:{file} needs spandrel: {INSTALL}') from error
        state = read_state_dict(file)
        try:
            found = ModelLoader('cpu').load_from_state_dict(state)
        except UnsupportedModelError as error:
            raise WeightsError(f'{file}: is of no architecture that spandrel knows ({", ".join(list(state)[:3])} ...); '
                               'give a config of its network with weights=') from error
        except (RuntimeError, KeyError, ValueError) as error:
            raise WeightsError(f'{file}: spandrel cannot build its network ({one_line(error, 200)})') from error
        if not isinstance(found, ImageModelDescriptor):
            raise WeightsError(f'{file}: is a {found.architecture.name} ({found.purpose}), which takes more than an '
                               'image')
        self.is_grey = found.input_channels == 1
        super().__init__(found.scale, 3 if self.is_grey else found.input_channels)
        self.out_channels = found.output_channels
        self.architecture = found.architecture.name
        self.model = found.model
        self._descriptor = found  # no module: it pads images for the network and clips what it gives

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, C', scale * H, scale * W) in [0, 1].

        Raises:
            RuntimeError: The network is in train mode.
        """
        if self.training:
            raise RuntimeError(f"{self.architecture} is spandrel's and only predicts; train a network of "
                               'densevit.networks.restoration')
        if self.is_grey:
            images = (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return torch.cat([self._descriptor(image) for image in images.split(1)])

from __future__ import annotations

from types import SimpleNamespace

import torch

from densevit.backbones import PlainViT
from densevit.engine import ChannelsLastHook


def test_values_stay_and_kernels_lie_with_channels_last():
    vit = PlainViT(stem=dict(model_name='resnet10t', out_indices=(1, 2, 3)), img_size=32, embed_dim=16, depth=2,
                   num_heads=2).eval()
    images = torch.randn(2, 3, 48, 40)
    before = vit(images)[0]
    ChannelsLastHook().before_train(SimpleNamespace(model=vit))
    kernels = [parameter for parameter in vit.parameters() if parameter.dim() == 4 and min(parameter.shape[1:]) > 1]
    assert kernels and all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    torch.testing.assert_close(vit(images)[0], before, rtol=1e-4, atol=1e-5)

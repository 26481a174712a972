"""What is frozen keeps neither gradients nor activations, so that a training takes less memory."""
from __future__ import annotations

import pytest
import torch
from checkout import ROOT
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import nn

from densevit import Hiera, HieraDet, PlainViT, TimmPyramid
from densevit.registry import MODELS, read_config

VIT = dict(embed_dim=48, depth=3, num_heads=2, img_size=96, patch_size=16)
HIERA = dict(embed_dim=24, num_heads=1, stages=(1, 1, 1, 1))
FROZEN = {
    'vit': lambda: PlainViT(**VIT, frozen_stages=4, drop_path_rate=.5),
    'windows': lambda: PlainViT(**VIT, frozen_stages=4, num_windows=2, global_blocks=(2, )),
    'absolute windows': lambda: PlainViT(**VIT, frozen_stages=4, window_size=6, global_blocks=(2, ),
                                         pos_embed='absolute_window', pos_embed_grid=6),
    'recomputed': lambda: PlainViT(**VIT, frozen_stages=4, grad_checkpointing=True),
    'stem': lambda: PlainViT(**{**VIT, 'patch_size': 2}, frozen_stages=4,
                             stem=dict(model_name='resnet10t', out_indices=(3, ))),
    'sam': lambda: PlainViT(**VIT, family='sam', frozen_stages=4),
    'swin': lambda: TimmPyramid('swin_tiny_patch4_window7_224', frozen_stages=4),
    'batch norm': lambda: TimmPyramid('resnet18', frozen_stages=4),
    'hiera': lambda: Hiera(**HIERA, frozen_stages=4),
    'hieradet': lambda: HieraDet(**HIERA, frozen_stages=4)}


class Saved:
    """Bytes that autograd keeps for the backward pass beside the parameters."""

    def __init__(self, module: nn.Module) -> None:
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
        self.storages: dict[int, torch.UntypedStorage] = {}  # kept, so that no address is used twice

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.parameters:
            self.storages[storage.data_ptr()] = storage
        return tensor

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())

    def watch(self):
        return torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor)


@pytest.mark.parametrize('name', FROZEN)
def test_a_frozen_backbone_keeps_nothing_and_draws_nothing(name):
    backbone = FROZEN[name]().train()
    images, saved = torch.randn(2, 3, 96, 128), Saved(backbone)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with saved.watch():
        maps, again = backbone(images), backbone(images)
    assert saved.bytes == 0 and not any(x.requires_grad for x in maps)
    assert all(torch.equal(x, y) for x, y in zip(maps, again, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize(('name', 'frozen_stages'), [('lwdetr_tiny_bccd', 5), ('eomt_tiny_camvid', 6)])
def test_a_frozen_trunk_takes_less_than_three_fifths_of_the_memory(name, frozen_stages):
    """Activations, gradients and AdamW's two moments; EoMT's queries still learn through its last blocks."""
    pytest.importorskip('mmdet')
    assert _memory(name, frozen_stages) < .6 * _memory(name, -1)


def _memory(name: str, frozen_stages: int, size: tuple[int, int] = (96, 128)) -> int:
    config = read_config(ROOT / 'configs' / 'tiny' / f'{name}.py').model
    config.backbone.update(pretrained=False, frozen_stages=frozen_stages)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config).train()
    sample = BaseDataElement(metainfo=dict(img_shape=size, ori_shape=size))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[10., 10., 60., 60.]]), labels=torch.tensor([1]))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, *size, dtype=torch.int64))
    saved = Saved(model)
    with saved.watch():
        model.loss(torch.randn(2, 3, *size), [sample, sample])
    learned = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    return saved.bytes + 3 * learned

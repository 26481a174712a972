"""What all adapters make of their ViT."""
from __future__ import annotations

import pytest
import torch

from densevit import PlainViT, SimpleFeaturePyramid, ViTAdapter, ViTCoMer

TINY = dict(embed_dim=32, depth=2, num_heads=2, img_size=32, patch_size=16)
every = pytest.mark.parametrize('cls', [SimpleFeaturePyramid, ViTAdapter, ViTCoMer], ids=lambda cls: cls.__name__)


def built(**kwargs) -> PlainViT:
    return PlainViT(**{**TINY, 'norm_out': False, **kwargs})


def rates(adapter) -> list[float]:
    return [getattr(block.drop_path1, 'drop_prob', 0.) for block in adapter.vit.trunk.blocks]


@every
def test_options_reach_the_vit(cls):
    adapter = cls(dict(TINY), frozen_stages=1, drop_path_rate=.2, grad_checkpointing=True)
    assert adapter.frozen_stages == adapter.vit.frozen_stages == 1
    assert adapter.vit.grad_checkpointing
    assert rates(adapter) == pytest.approx([0., .2])
    assert not adapter.vit.trunk.blocks[0].training and adapter.vit.trunk.blocks[1].training


@every
def test_options_in_vit_count_more(cls):
    adapter = cls(dict(TINY, drop_path_rate=.4, grad_checkpointing=False, frozen_stages=2), drop_path_rate=.2,
                  grad_checkpointing=True)
    assert not adapter.vit.grad_checkpointing and rates(adapter) == pytest.approx([0., .4])
    assert adapter.frozen_stages == 2
    with pytest.raises(ValueError, match='frozen_stages is 1 here and 2 in vit'):
        cls(dict(TINY, frozen_stages=2), frozen_stages=1)
    with pytest.raises(ValueError, match='choose from -1'):
        cls(dict(TINY), frozen_stages=4)


@every
def test_options_reach_a_vit_that_is_given_built(cls):
    adapter = cls(built(drop_path_rate=.2), frozen_stages=1, drop_path_rate=.2, grad_checkpointing=True)
    assert adapter.vit.grad_checkpointing and adapter.frozen_stages == 1
    learning = {name.split('.')[3] for name, p in adapter.named_parameters() if 'blocks' in name and p.requires_grad}
    assert learning == {'1'}
    assert not adapter.vit.trunk.patch_embed.proj.weight.requires_grad
    assert cls(built(frozen_stages=1, grad_checkpointing=True)).vit.grad_checkpointing


@every
def test_contradictions_to_the_vit_are_refused(cls):
    with pytest.raises(ValueError, match='drop_path_rate=0.3: the given vit was built with 0;'):
        cls(built(), drop_path_rate=.3)
    with pytest.raises(ValueError, match='frozen_stages is 2 here and 1 in vit'):
        cls(built(frozen_stages=1), frozen_stages=2)
    for vit in (dict(TINY, out_indices=(0, )), built(out_indices=(0, 1))):
        with pytest.raises(ValueError, match='out_indices in vit would be ignored'):
            cls(vit)


@torch.no_grad()
def test_norm_eval_holds_from_the_start():
    """Not from the first call of train()."""
    adapter = SimpleFeaturePyramid(dict(TINY), out_channels=8, norm='BN', norm_eval=True)
    before = [buffer.clone() for buffer in adapter.buffers()]
    adapter(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(old, new) for old, new in zip(before, adapter.buffers(), strict=True))

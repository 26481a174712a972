"""Checkpoints of SegViT's authors: OpenMMLab's ViT and their heads. The heads are compared in test_segvit.py."""
from __future__ import annotations

import pytest
import torch
from official import assert_close
from randomised import randomise
from torch import Tensor, nn

from densevit import PlainViT, load_weights
from densevit.networks.segmentation import SegViT, SegViTShrunk
from densevit.weights import WeightsError

NUM_CLASSES, STAGES, LAYERS = 5, 3, 2
VIT = dict(img_size=(64, 96), embed_dim=32, depth=4, num_heads=4)
HEAD = dict(num_classes=NUM_CLASSES, embed_dim=24, num_heads=4, num_layers=LAYERS)


def whole(seed: int = 0) -> SegViT:
    backbone = PlainViT(**VIT, keep_prefix=False, norm_out=False, out_indices=(1, 2, 3))
    return randomise(SegViT(backbone, **HEAD), seed)


def shrunk(seed: int = 0) -> SegViTShrunk:
    backbone = PlainViT(**VIT, keep_prefix=False, norm_out=False)
    return randomise(SegViTShrunk(backbone, **HEAD, shrink_block=1, query_grid=3), seed)


def joined(state: dict[str, Tensor], attention: str, kind: str) -> Tensor:
    return torch.cat([state[f'{attention}.{part}_proj.{kind}'] for part in 'qkv'])


def decoder(state: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """A decoder with attention to mask under the authors' names."""
    pairs = {'self_attn.out_proj': 'self_attention.attn.out_proj', 'norm1': 'self_attention.norm',
             'multihead_attn.q': 'cross_attention.q_proj', 'multihead_attn.k': 'cross_attention.k_proj',
             'multihead_attn.v': 'cross_attention.v_proj', 'multihead_attn.proj': 'cross_attention.out_proj',
             'norm2': 'norm', 'linear1': 'feed_forward.linear1', 'linear2': 'feed_forward.linear2',
             'norm3': 'feed_forward.norm'}
    found = {}
    for layer in range(LAYERS):
        for kind in ('weight', 'bias'):
            found |= {f'{theirs}.layers.{layer}.{their}.{kind}': state[f'{ours}.{layer}.{own}.{kind}']
                      for their, own in pairs.items()}
            found[f'{theirs}.layers.{layer}.self_attn.in_proj_{kind}'] = joined(
                state, f'{ours}.{layer}.self_attention.attn', kind)
    return found


def vit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's names as those of mmsegmentation's ViT."""
    found = {name: state[f'backbone.trunk.{name}'] for name in ('cls_token', 'pos_embed')
             if f'backbone.trunk.{name}' in state}
    pairs = {'ln1': 'norm1', 'ln2': 'norm2', 'attn.attn.out_proj': 'attn.proj', 'ffn.layers.0.0': 'mlp.fc1',
             'ffn.layers.1': 'mlp.fc2'}
    for kind in ('weight', 'bias'):
        found[f'patch_embed.projection.{kind}'] = state[f'backbone.trunk.patch_embed.proj.{kind}']
        for layer in range(VIT['depth']):
            block = f'backbone.trunk.blocks.{layer}'
            found[f'layers.{layer}.attn.attn.in_proj_{kind}'] = state[f'{block}.attn.qkv.{kind}']
            found |= {f'layers.{layer}.{their}.{kind}': state[f'{block}.{own}.{kind}'] for their, own in pairs.items()}
    return found


def checkpoint(model: nn.Module) -> dict[str, Tensor]:
    """As the authors' training code would have written the model."""
    state = model.state_dict()
    is_shrunk = isinstance(model, SegViTShrunk)
    inner = 'atm.' if is_shrunk else ''
    head = {f'{inner}q.weight': state['query.weight'],
            **{f'{inner}class_embed.{kind}': state[f'class_head.{kind}'] for kind in ('weight', 'bias')}}
    for stage in range(len(model.projections)):
        for their, own in (('input_proj', 'linear'), ('proj_norm', 'norm')):
            head |= {f'{their}_{stage + 1}.{kind}': state[f'projections.{stage}.{own}.{kind}']
                     for kind in ('weight', 'bias')}
    if is_shrunk:
        head['q.weight'] = state['patch_queries'].flatten(2)[0].T
        head |= decoder(state, 'atm.decoder_1', 'decoder')
        head |= {f"decoder_{int(name.split('.')[1]) + 1}.layers.{name.split('.', 2)[2]}": tensor
                 for name, tensor in state.items() if name.startswith('upsampling.')}
    else:
        for stage in range(STAGES):
            head |= decoder(state, f'decoder_{stage + 1}', f'stages.{stage}')
    return {'state_dict': {**{f'backbone.{name}': tensor for name, tensor in vit(state).items()},
                           **{f'decode_head.{name}': tensor for name, tensor in head.items()}}}


@pytest.mark.parametrize('build', [whole, shrunk])
def test_authors__every_tensor(build):
    source, model = build(1), build(2)
    report = load_weights(model, checkpoint(source))
    assert 'SegViT' in report.naming and not report.left and not report.missing
    torch.testing.assert_close(dict(model.state_dict()), dict(source.state_dict()))


@pytest.mark.parametrize(('source', 'model', 'said'), [
    (whole, shrunk, 'does not shrink; load it into a SegViT'), (shrunk, whole, 'load it into a SegViTShrunk')])
def test_authors__the_other_structure_is_named(source, model, said):
    with pytest.raises(WeightsError, match=said):
        load_weights(model(), checkpoint(source()))


@pytest.mark.parametrize(('name', 'theirs', 'ours'), [
    ('VisionTransformer', dict(), dict()),
    ('VisionTransformer', dict(patch_bias=True), dict()),
    ('BEiT', dict(mlp_ratio=4, init_values=1.), dict(name='beit_base_patch16_224', use_rel_pos_bias=True))])
@torch.no_grad()
def test_openmmlab_vit__same_features(name, theirs, ours):
    from mmseg.models import backbones  # after densevit, which gives mmcv its operators
    theirs = getattr(backbones, name)(img_size=(64, 96), embed_dims=32, num_layers=4, num_heads=4, out_indices=3,
                                      final_norm=True, norm_cfg=dict(type='LN', eps=1e-6), **theirs)
    ours = PlainViT(**VIT, **ours)
    theirs.train(False)  # which returns nothing
    randomise(theirs, 1)
    report = load_weights(randomise(ours, 2), {f'backbone.{name}': x for name, x in theirs.state_dict().items()})
    assert report.naming == 'OpenMMLab ViT' and not report.missing
    images = torch.randn(2, 3, 64, 96)
    assert_close(ours.eval()(images), list(theirs(images)))

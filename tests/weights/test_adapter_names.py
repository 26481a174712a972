"""Checkpoints of ViT-Adapter and ViT-CoMer, and of the plain ViTs that they start from."""
import re

import pytest
import timm
import torch
from mmengine.config import ConfigDict
from official import assert_close
from official_adapters import official_adapter
from randomised import randomise

from densevit import PlainViT, ViTAdapter, ViTCoMer, load_weights
from densevit.registry import MODELS
from densevit.weights import WeightsError

TINY = dict(embed_dim=32, depth=4, num_heads=4)
VIT = dict(TINY, img_size=64, patch_size=16, init_values=1., pos_embed_antialias=False)
ADAPTERS = [ViTAdapter, ViTCoMer]
PLAIN = {
    'timm': ('vit_small_patch16_224', dict(img_size=64), dict(init_values=None)),
    'DINOv2': ('vit_small_patch14_dinov2', dict(img_size=56), dict(patch_size=16)),
    'DINOv2 with registers': ('vit_small_patch14_reg4_dinov2', dict(img_size=56), dict(patch_size=16)),
    'DINOv3': ('vit_small_patch16_dinov3', {}, dict(keep_prefix=True)),
    'BEiT': ('beit_base_patch16_224', dict(img_size=64), dict(keep_prefix=True)),
}


def official_names(state):
    """Our names as the official code has them, and the position of a class token that it keeps."""
    names = {}
    is_comer = any('to_vit' in name for name in state)
    for name, tensor in state.items():
        name = re.sub(r'^vit\.trunk\.', '', name)
        name = re.sub(r'ls(\d)\.gamma', r'gamma\1', name)
        name = re.sub(r'ffn\.norm\.', 'ffn_norm.', name)
        name = re.sub(r'ffn\.dwconv\.', 'ffn.dwconv.dwconv.', name)
        name = re.sub(r'levels\.(\d)\.conv3', lambda m: f'dwconv.dwconv{2 * int(m[1]) + 1}', name)
        name = re.sub(r'levels\.(\d)\.conv5', lambda m: f'dwconv.dwconv{2 * int(m[1]) + 2}', name)
        name = re.sub(r'levels\.(\d)\.norm', lambda m: f'dwconv.bn{int(m[1]) + 1}', name)
        if is_comer:
            name = name.replace('.extractor.', '.cfinter.').replace('extra_extractors', 'extra_CTIs')
        name = name.replace('to_vit', 'cti_tov').replace('to_cnn', 'cti_toc')
        names[name] = tensor
    names['pos_embed'] = torch.cat((torch.zeros(1, 1, 32), names['pos_embed']), dim=1)
    return names


@pytest.mark.parametrize(('code', 'task'), [
    (code, task) for code in ('ViT-Adapter', 'ViT-CoMer') for task in ('detection', 'segmentation')])
def test_official_checkpoint__gives_the_official_output(code, task):
    official = randomise(official_adapter(
        code, task, **TINY, img_size=64, pretrain_size=64, deform_num_heads=4,
        interaction_indexes=[[0, 0], [1, 1], [2, 2], [3, 3]],
        **(dict(cnn_feature_interaction=True) if code == 'ViT-CoMer' else {})))
    ours = dict(zip(('ViT-Adapter', 'ViT-CoMer'), ADAPTERS, strict=True))[code](VIT, form=task, num_heads=4)
    images = torch.randn(2, 3, 64, 96)
    for prefix, others in (('', {}), ('backbone.', {'neck.lateral_convs.0.weight': torch.zeros(3)})):
        randomise(ours, seed=9)
        state = {**others, **{prefix + name: tensor for name, tensor in official.state_dict().items()}}
        report = load_weights(ours, dict(state_dict=state, meta=dict(epoch=36)))
        assert (report.naming, report.missing, set(report.left)) == (code, (), others.keys())
        assert_close(ours.eval()(images), official(images))


@pytest.mark.parametrize('cls', ADAPTERS)
def test_official_names(cls):
    """The same without the official code."""
    source, target = randomise(cls(VIT), seed=1), randomise(cls(VIT), seed=2)
    state = official_names(source.state_dict())
    if cls is ViTCoMer:
        assert {'interactions.0.mrfp.dwconv.dwconv6.weight', 'interactions.3.extra_CTIs.3.cfinter.ffn_norm.bias',
                'interactions.3.cti_toc.query_norm.weight', 'blocks.0.gamma1'} < state.keys()
    report = load_weights(target, {f'backbone.{name}': tensor for name, tensor in state.items()})
    assert not report.missing
    for name, tensor in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], tensor, msg=name)


@pytest.mark.parametrize('cls', ADAPTERS)
@pytest.mark.parametrize('family', PLAIN)
def test_plain_vit__fills_the_vit_alone(cls, family):
    trunk, sizes, options = PLAIN[family]
    plain = randomise(timm.create_model(trunk, **{**TINY, **sizes})).state_dict()
    vit = dict(dict(TINY, name=trunk, img_size=64, keep_prefix=False, norm_out=False), **options)
    expected = PlainViT(**vit)
    load_weights(expected, plain)
    model = randomise(cls(vit), seed=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = load_weights(model, plain)
    assert {name.split('.')[0] for name in report.missing} == {
        'spm', 'level_embed', 'interactions', 'up', 'norm1', 'norm2', 'norm3', 'norm4'}
    after = model.state_dict()
    torch.testing.assert_close({name: after[f'vit.{name}'] for name in expected.state_dict()}, expected.state_dict())
    torch.testing.assert_close({name: after[name] for name in report.missing},
                               {name: before[name] for name in report.missing})


@pytest.mark.parametrize('cls', ADAPTERS)
def test_init_cfg__loads_and_keeps(cls, tmp_path):
    source = randomise(cls(VIT), seed=1)
    torch.save(official_names(source.state_dict()), tmp_path / 'official.pth')
    model = MODELS.build(ConfigDict(
        type=f'densevit.{cls.__name__}', vit=VIT,
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth'))))
    model.init_weights()
    torch.testing.assert_close(model.state_dict(), source.state_dict())


@pytest.mark.parametrize('cls', ADAPTERS)
def test_wrong_size__is_said_and_nothing_loaded(cls):
    model = cls(VIT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small = official_names(cls(dict(VIT, depth=3, embed_dim=32), num_heads=4, form='detection').state_dict())
    with pytest.raises(WeightsError, match=r'depth 3\), the model a ViT/16 \(embed_dim 32, depth 4\)'):
        load_weights(model, small)
    without_vit = {name: tensor for name, tensor in official_names(model.state_dict()).items()
                   if name.startswith(('spm', 'level_embed', 'interactions', 'up', 'norm'))}
    with pytest.raises(WeightsError, match='an adapter without a plain ViT'):
        load_weights(model, without_vit)
    torch.testing.assert_close(model.state_dict(), before)

"""Low-rank adapters in any backbone: their equation, what learns, and what a run keeps in memory."""
from __future__ import annotations

import copy
import pickle
import sys

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from randomised import randomise
from stock_models import build, detection_batch, segmentation_batch
from torch import nn

from densevit.engine import LayerDecayConstructor
from densevit.engine.trained_parameters import trained_parameters
from densevit.models.lora import add_lora
from densevit.registry import MODELS
from densevit.weights import load_weights

VIT = dict(embed_dim=32, depth=3, num_heads=2, img_size=64, patch_size=16)
SWIN = dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4))
BACKBONES = {
    'vit': dict(VIT, type='PlainViT'),
    'official windows': dict(VIT, type='PlainViT', window_size=3, pad_mode='official', global_blocks=(2, )),
    'eva': dict(VIT, type='PlainViT', name='eva02_base_patch14_224', patch_size=14, img_size=56),
    'eva with biases': dict(VIT, type='PlainViT', name='eva02_tiny_patch14_224', patch_size=14, img_size=56),
    'dinov3': dict(VIT, type='PlainViT', name='vit_small_patch16_dinov3', window_size=3, global_blocks=(2, )),
    'swiglu': dict(VIT, type='PlainViT', name='vit_giant_patch14_reg4_dinov2', patch_size=14, img_size=56),
    'beit': dict(VIT, type='PlainViT', name='beit_base_patch16_224'),
    'sam': dict(VIT, type='PlainViT', family='sam', window_size=3, global_blocks=(2, )),
    'stem': dict({**VIT, 'patch_size': 2}, type='PlainViT', stem=dict(model_name='resnet10t', out_indices=(3, ))),
    'swin': dict(SWIN, type='TimmPyramid', name='swin_tiny_patch4_window7_224', norm_out=True),
    'swin v2': dict(SWIN, type='TimmPyramid', name='swinv2_tiny_window8_256'),
    'mit': dict(type='TimmPyramid', name='mit_b0'),
    'hybrid': dict(type='TimmPyramid', name='tiny_vit_5m_224'),
    'hieradet': dict(type='HieraDet', embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), norm_out=True),
    'hiera': dict(type='Hiera', embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), img_size=(64, 64)),
    'adapter': dict(type='ViTAdapter', vit=VIT, num_heads=2, conv_inplane=8),
    'pyramid': dict(type='SimpleFeaturePyramid', vit=VIT, out_channels=8),
}


def backbone(name, lora=None, **options):
    torch.manual_seed(0)
    options = {**BACKBONES[name], **options} | ({} if lora is None else dict(lora=lora))
    return MODELS.build(dict(options, type=f'densevit.{options["type"]}'))


def pair(name, **lora):
    """A backbone with random weights, and one with adapters beside the same weights."""
    plain, adapted = backbone(name).eval(), backbone(name, dict(r=4, alpha=12, **lora)).eval()
    if name not in ('stem', 'hybrid'):  # random convolutions grow until nothing that is added to them is left
        randomise(plain)
    load_weights(adapted, plain.state_dict())
    return plain, adapted


def teach(module, seed=1):
    """Adapters as after a training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if 'lora_' in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * .1)
    return module


def images(size=(64, 96)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))


def same(ours, theirs, tolerance=1e-5):
    for x, y in zip(ours, theirs, strict=True):
        assert float((x - y).detach().abs().max()) <= tolerance * max(1., float(y.detach().abs().max()))


def test_the_equation_is_that_of_the_paper_and_of_peft():
    _, adapted = pair('vit')
    teach(adapted)
    state, layer = adapted.state_dict(), adapted.trunk.blocks[1].mlp.fc1
    weight, bias, down, up = (state[f'trunk.blocks.1.mlp.fc1.{name}']
                              for name in ('weight', 'bias', 'lora_A.weight', 'lora_B.weight'))
    assert (down.shape, up.shape) == ((4, 32), (128, 4)) and state['trunk.blocks.1.mlp.fc1.lora_scaling'] == 3
    x = torch.randn(5, 7, 32)
    by_hand = x @ weight.t() + bias + 12 / 4 * (x @ down.t() @ up.t())
    torch.testing.assert_close(layer(x), by_hand, rtol=1e-5, atol=1e-5)
    theirs = nn.Sequential(nn.Linear(32, 128))
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=12, target_modules=['0']), theirs)
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), (weight, bias, down, up), strict=True):
            parameter.copy_(value)
    torch.testing.assert_close(layer(x), theirs(x))
    torch.testing.assert_close(nn.functional.linear(x, layer.weight, bias), by_hand, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', BACKBONES)
def test_begins_as_it_was_learns_and_merges(name):
    plain, adapted = pair(name)
    same(adapted(images()), plain(images()))
    names = [key for key in adapted.state_dict() if 'lora_' not in key]
    assert sorted(names) == sorted(plain.state_dict())
    before = {key: value.clone() for key, value in adapted.state_dict().items()}
    learn = {key: parameter for key, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert learn.keys() == {key for key, _ in adapted.named_parameters()
                            if '.lora_' in key or adapted.stage_index(key) is None}
    optimizer = torch.optim.SGD(learn.values(), 1.)
    for _ in range(2):  # B is zero in the first step, so that A has a gradient of zeros
        optimizer.zero_grad()
        sum(x.square().mean() for x in adapted.train()(images((128, 128)))).backward()
        assert all((p.grad is not None) == p.requires_grad for p in adapted.parameters())
        optimizer.step()
    assert all(parameter.grad.any() for key, parameter in learn.items() if '.lora_' in key)
    assert all(torch.equal(value, before[key]) for key, value in adapted.state_dict().items()
               if adapted.stage_index(key) is not None and 'lora_' not in key)
    teach(adapted.eval())
    merged = backbone(name).eval()
    load_weights(merged, adapted.state_dict())
    assert (merged(images())[-1] - plain(images())[-1]).abs().max() > 1e-3
    same(adapted(images()), merged(images()))


@pytest.mark.parametrize('options', [dict(grad_checkpointing=True), dict(num_windows=2, global_blocks=(2, ))])
def test_gradients_are_those_of_merged_weights(options):
    """Of A and B by the chain rule: s B^T G and s G A^T, with the gradient G of the whole weight."""
    adapted = teach(backbone('vit', dict(r=4, alpha=12), **options).train())
    merged = backbone('vit', **options).train()
    load_weights(merged, adapted.state_dict())
    for module in (adapted, merged):
        module(images())[0].sin().sum().backward()
    layer, whole = adapted.trunk.blocks[1].attn.qkv, merged.trunk.blocks[1].attn.qkv.weight.grad
    down, up = layer.lora_A['default'].weight, layer.lora_B['default'].weight
    torch.testing.assert_close(down.grad, 3 * up.t() @ whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(up.grad, 3 * whole @ down.t(), rtol=1e-4, atol=1e-4)


def test_targets_name_layers():
    for targets, found in ((('qkv', ), {'attn.qkv'}), (('attn', ), {'attn.qkv', 'attn.proj'}),
                           (('mlp.fc1', 'proj'), {'mlp.fc1', 'attn.proj'})):
        model = backbone('vit', dict(targets=targets))
        assert {key.split('.', 3)[3].removesuffix('.lora_A.weight') for key in model.state_dict()
                if key.endswith('lora_A.weight')} == found
    assert not any('reduction' in key for key in backbone('swin', {}).state_dict() if 'lora_' in key)


@pytest.mark.parametrize('name', ['vit', 'swin', 'adapter'])
def test_frozen_stages_have_no_adapters(name):
    model = backbone(name, {}, frozen_stages=2)
    adapted = {model.stage_index(key) for key in model.state_dict() if 'lora_' in key}
    assert adapted == ({3} if name != 'swin' else {3, 4})
    assert all(model.stage_index(key) in (None, *adapted) for key, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize('name', ['vit', 'swin', 'adapter'])
def test_layers_learn_at_the_rates_of_their_depth(name):
    """An adapter's parameters have the rate of the weight that they stand beside."""
    plain, adapted = (nn.ModuleDict(dict(backbone=backbone(name, lora))) for lora in (None, {}))
    make = LayerDecayConstructor(dict(optimizer=dict(type='AdamW', lr=1.)), dict(layer_decay=.5))
    rates = [{name: group['lr'] for group in make.groups(model) for name, parameter in model.named_parameters()
              if any(parameter is other for other in group['params'])} for model in (plain, adapted)]
    beside = {key: key.replace('.lora_A.default', '').replace('.lora_B.default', '') for key in rates[1]}
    assert len({rate for key, rate in rates[1].items() if key != beside[key]}) >= 3
    assert all(rate == rates[0][beside[key]] for key, rate in rates[1].items())


def test_copies_and_processes_get_what_there_is():
    """Averages of weights are copies; workers are sent pickles."""
    adapted = teach(pair('vit')[1])
    for other in (copy.deepcopy(adapted), pickle.loads(pickle.dumps(adapted))):
        same(other(images()), adapted(images()), 0.)
        assert other.state_dict().keys() == adapted.state_dict().keys()


def test_compiles_in_one_graph():
    adapted = teach(pair('vit')[1]).train()
    compiled = torch.compile(adapted, fullgraph=True, backend='aot_eager')
    same(compiled(images()), adapted(images()))


def test_mixed_precision_keeps_one_copy_of_what_adapters_read():
    adapted = pair('vit')[1].train()
    dtypes = []
    layer = adapted.trunk.blocks[0].mlp.fc1
    layer.lora_A['default'].register_forward_pre_hook(lambda module, args: dtypes.append(args[0].dtype))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        layer(torch.randn(2, 32, dtype=torch.bfloat16))
    assert dtypes == [torch.bfloat16]


@pytest.mark.parametrize('package', ['mmdet', 'mmseg'])
def test_stock_models_learn_by_adapters(package):
    pytest.importorskip(package)
    if package == 'mmdet':
        model = build('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco', {
            'backbone': dict(BACKBONES['swin'], _delete_=True, type='densevit.TimmPyramid', lora=dict(r=2)),
            'neck.in_channels': [16, 32, 64, 128]})
        batch = detection_batch()
    else:
        model = build('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512', {
            'backbone': dict(BACKBONES['swin'], _delete_=True, type='densevit.TimmPyramid', lora=dict(r=2)),
            'decode_head.in_channels': [16, 32, 64, 128]})
        batch = segmentation_batch()
    losses = model.train()(**model.data_preprocessor(batch, True), mode='loss')
    model.parse_losses(losses)[0].backward()
    learn = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if '.lora_' in name)
    assert {name.split('.')[0] for name in learn} > {'backbone'}
    assert all('lora_' in name or '.norms.' in name for name in learn if name.startswith('backbone.'))


def kept(**options):
    """Bytes that autograd keeps for the backward pass beside the parameters."""
    model = backbone('vit', **options).train()
    own, storages = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}, {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images((128, 192)))
    return sum(storage.nbytes() for storage in storages.values())


def test_what_is_kept_for_the_backward_pass():
    """Of 16 numbers a channel of each token, layer scale apart, adapters in attention alone leave 11."""
    full = kept()
    assert kept(lora=dict(r=1)) < full
    assert kept(lora=dict(r=1, targets=('attn', ))) < .75 * full
    assert kept(lora=dict(r=1, targets=('attn', )), frozen_stages=2) < .28 * full
    assert kept(lora=dict(r=1), grad_checkpointing=True) < .1 * full


def test_the_line_of_what_learns():
    model = nn.ModuleDict(dict(backbone=backbone('vit', dict(r=2)), head=nn.Linear(4, 5)))
    adapters = 3 * 2 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32)
    assert f'{adapters + 25:,} of ' in trained_parameters(model)
    assert f'{adapters:,} of them in adapters' in trained_parameters(model)


@pytest.mark.parametrize(('lora', 'message'), [
    (dict(r=0), 'r is a whole number'), (dict(alpha=-1), 'alpha above 0'), (dict(dropout=1.), 'dropout in'),
    (dict(targets='attn'), 'a list of names'),
    (dict(targets=('query', )), "'query', and no linear .* attn.proj, attn.qkv, mlp.fc1, mlp.fc2"),
    (dict(rank=4), 'rank')])
def test_mistakes_are_told_in_a_line(lora, message):
    with pytest.raises((ValueError, TypeError), match=message):
        backbone('vit', lora)


def test_nothing_to_adapt():
    with pytest.raises(ValueError, match='see frozen_stages'):
        backbone('vit', {}, frozen_stages=4)


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(ImportError, match="needs peft: pip install 'peft"):
        add_lora(backbone('vit'))

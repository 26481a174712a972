"""Restormer: the authors' network with the same random weights, and what its parts do by hand."""
import pytest
import torch
from randomised import randomise

from densevit import load_weights
from densevit.networks.restoration import Restormer
from densevit.networks.restoration.restormer import BiasFreeNorm, TransposedAttention
from densevit.weights import WeightsError

SIZES = dict(dim=16, num_blocks=(1, 2, 1, 2), num_refinement_blocks=1, num_heads=(1, 2, 2, 4))
# Ours, theirs.
FORMS = {
    'rain': (dict(), dict()),
    'noise': (dict(norm='bias_free'), dict(LayerNorm_type='BiasFree')),
    'grey noise': (dict(norm='bias_free', in_channels=1),
                   dict(LayerNorm_type='BiasFree', inp_channels=1, out_channels=1)),
    'dual-pixel': (dict(dual_pixel=True), dict(inp_channels=6, dual_pixel_task=True)),
    'wide': (dict(dim=12, expansion=2., num_heads=(2, 3, 4, 6)),
             dict(dim=12, ffn_expansion_factor=2., heads=[2, 3, 4, 6])),
}


def ours(form, **options):
    return Restormer(**{**SIZES, **FORMS[form][0], **options}).double().eval()


def theirs(form):
    official = pytest.importorskip('spandrel_extra_arches.architectures.Restormer',
                                   reason='needs spandrel_extra_arches')
    options = dict(dim=16, num_blocks=[1, 2, 1, 2], num_refinement_blocks=1, heads=[1, 2, 2, 4])
    return randomise(official.Restormer(**{**options, **FORMS[form][1]})).double()


@pytest.mark.parametrize('size', [(21, 38), (40, 24)])
@pytest.mark.parametrize('form', FORMS)
def test_same_outputs_and_gradients(form, size):
    network, reference = ours(form), theirs(form)
    report = load_weights(network, dict(params=reference.state_dict()))
    assert not report.missing and not report.left and report.naming == "the authors' Restormer"
    images = torch.rand(2, network.in_channels, *size, dtype=torch.double)
    padded = torch.nn.functional.pad(images, (0, -size[1] % 8, 0, -size[0] % 8), 'reflect')
    expected, found = reference(padded)[..., :size[0], :size[1]], network(images)
    assert found.shape == (2, network.out_channels, *size)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.std().item())
    expected.square().mean().backward()
    found.square().mean().backward()
    gradients = {name.replace('.body.', '.') if 'norm' in name else name: parameter.grad
                 for name, parameter in reference.named_parameters()}
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-7, atol=1e-10 * largest, msg=name)


def test_a_file_of_another_form_says_which():
    for form, options, said in (('noise', {}, "model.head.norm='bias_free'"), ('rain', dict(norm='bias_free'), 'norm='),
                                ('dual-pixel', {}, 'model.head.dual_pixel=True')):
        with pytest.raises(WeightsError, match=said):
            load_weights(ours('rain', **options), dict(params=theirs(form).state_dict()))


@torch.no_grad()
def test_channels_attend_to_channels_over_all_pixels():
    """Cosines of maps, times a temperature; a map that is moved within the image keeps its weights."""
    attention = randomise(TransposedAttention(6, 2)).double()
    attention.qkv_dwconv.weight.zero_()[..., 1, 1] = 1
    x = torch.rand(1, 6, 5, 7, dtype=torch.double)
    q, k, v = torch.einsum('oc,chw->ohw', attention.qkv.weight[..., 0, 0], x[0]).flatten(1).view(3, 2, 3, 35)
    found = torch.empty(2, 3, 35, dtype=torch.double)
    for head in range(2):
        cosines = torch.stack([torch.stack([a @ b / (a.norm() * b.norm()) for b in k[head]]) for a in q[head]])
        found[head] = (cosines * attention.temperature[head].item()).softmax(-1) @ v[head]
    expected = torch.einsum('oc,chw->ohw', attention.project_out.weight[..., 0, 0], found.view(6, 5, 7))
    torch.testing.assert_close(attention(x)[0], expected)
    shuffled = torch.randperm(35)
    moved = attention(x.flatten(2)[..., shuffled].view_as(x)).flatten(2)
    torch.testing.assert_close(moved, attention(x).flatten(2)[..., shuffled])


def test_a_norm_without_bias_scales_with_its_input():
    norm = randomise(BiasFreeNorm(8))
    x = 1 + torch.rand(1, 8, 2, 3)
    torch.testing.assert_close(norm(1000 * x), norm(x), rtol=1e-3, atol=1e-3)
    deviation = (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x), x / deviation * norm.weight.view(-1, 1, 1))
    assert norm(x.half()).dtype == torch.half


def test_options_and_images_that_do_not_fit():
    for wrong, said in ((dict(num_heads=(1, 2, 4)), '4 levels'),
                        (dict(num_heads=(3, 2, 4, 8)), 'num_heads=3 of level 1'),
                        (dict(dim=7, num_heads=(1, 1, 1, 1)), 'even'), (dict(norm='none'), 'choose')):
        with pytest.raises(ValueError, match=said):
            Restormer(**{**SIZES, **wrong})
    with pytest.raises(ValueError, match='6 channels.*two views.*not 3 channels'):
        ours('dual-pixel')(torch.zeros(1, 3, 8, 8, dtype=torch.double))


@pytest.mark.parametrize(('options', 'count'), [
    ({}, 26126644), (dict(norm='bias_free'), 26111668), (dict(dual_pixel=True), 26132548)])
def test_as_many_parameters_as_the_authors(options, count):
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in Restormer(**options).parameters()) == count

"""How a depth is made of channels: activations, bins, what they refuse."""
import pytest
import torch
from networks.base import vit

from densevit.networks.depth import DPTDepth, LinearDepth
from densevit.networks.depth.outputs import BinnedDepth, DirectDepth, bin_centres, probabilities


def test_linear_log_and_mixed_bins():
    linear, log, mixed = (bin_centres(5, spacing, .01, 10.) for spacing in ('linear', 'log', 'mixlog'))
    torch.testing.assert_close(linear.diff(), torch.full((4, ), 9.99 / 4))
    torch.testing.assert_close(log[1:] / log[:-1], torch.full((4, ), 1000**.25))
    assert mixed[0] == pytest.approx(.08) and mixed[-1] == pytest.approx(10.)
    assert (mixed.diff() > 0).all() and (mixed[1:-1] < linear[1:-1]).all()


@pytest.mark.parametrize('norm', ['linear', 'softmax', 'sigmoid'])
def test_probabilities_sum_to_one_and_one_bin_is_its_centre(norm):
    x = torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(probabilities(x, norm, .1).sum(1), torch.ones(2, 3, 4))
    sure = torch.full((1, 6, 1, 1), -1e4)
    sure[0, 4] = 1e4
    output = BinnedDepth(6, norm=norm, floor=1e-8, max_depth=10.)
    assert output(sure).item() == pytest.approx(output.centres[4].item(), rel=1e-4)


def test_no_bin_is_without_a_gradient_but_where_a_relu_is():
    x = torch.full((1, 4, 1, 1), 2., requires_grad=True)
    BinnedDepth(4, max_depth=10.)(x).sum().backward()
    assert x.grad.ne(0).all()


def test_activations():
    x = torch.tensor([-1., 0., 2.]).view(1, 1, 1, 3)
    assert DirectDepth('relu', .5)(x).flatten().tolist() == [.5, .5, 2.5]
    torch.testing.assert_close(DirectDepth('sigmoid', max_depth=20.)(x)[0], 20 * x.sigmoid()[0, 0])
    torch.testing.assert_close(DirectDepth('exp')(x.bfloat16())[0], x.exp()[0, 0])
    within = DirectDepth('disparity', .1, 100.)
    assert within(torch.tensor([-99., 99.]).view(1, 1, 1, 2)).flatten().tolist() == pytest.approx([100., .1])
    assert within(torch.zeros(1, 1, 1, 1)).item() == pytest.approx(2 / (1 / .1 + 1 / 100))


@torch.no_grad()
def test_metric_predictions_are_clamped_and_what_is_learned_from_is_not():
    network = DPTDepth(vit(depth=4, out_indices=(0, 1, 2, 3)), width=16, min_depth=.5, max_depth=2.)
    network.predict[-1].bias.fill_(9.)
    images = torch.randn(2, 3, 32, 32)
    assert network.train()(images).depth.max() > 8
    assert network.eval()(images).depth.unique().tolist() == [2.]


def test_wrong_options_are_explained():
    levels = vit(depth=4, out_indices=(0, 1, 2, 3))
    for message, options in [
        ("choose 'relu', 'sigmoid', 'exp' or 'disparity'", dict(activation='softplus')),
        ('set both, such as min_depth=.1', dict(activation='disparity', max_depth=9.)),
        ("choose 'residual' or 'large_kernel'", dict(unit='big')),
        ('set it, such as max_depth=10', dict(activation='sigmoid')),
        ('leave it out', dict(activation='exp', min_depth=1.)),
        ("choose 'linear', 'log' or 'mixlog'", dict(bins=dict(spacing='square'), max_depth=10., min_depth=.1)),
        ("choose 'linear', 'softmax' or 'sigmoid'", dict(bins=dict(norm='relu'), max_depth=10.)),
        ('two or more bins', dict(bins=dict(num_bins=1), max_depth=10.)),
        ('set both, in metres', dict(bins={})),
        ('has ratios: set min_depth', dict(bins=dict(spacing='log'), max_depth=10.)),
        ('bins takes num_bins', dict(bins=dict(count=9), max_depth=10.)),
        ("choose 'metric', 'relative_depth'", dict(kind='inverse')),
        ('canonical_focal belongs to depth in metres', dict(kind='relative_depth', canonical_focal=300.)),
        ('needs a plain ViT with a class token', dict(readout='add', backbone=vit(
            depth=4, out_indices=(0, 1, 2, 3), class_token=False))),
    ]:
        with pytest.raises(ValueError, match=message):
            DPTDepth(options.pop('backbone', levels), **options)
    with pytest.raises(ValueError, match='class_token=False'):
        LinearDepth(vit(class_token=False), max_depth=10.)

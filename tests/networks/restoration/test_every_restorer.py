"""Every restoration network: sizes, saving, a training step, torch.compile and torch.export."""
import pytest
import torch
from networks.base import (
    assert_near,
    check_every_parameter_learns,
    check_saved_and_loaded,
    images_of,
    pyramid,
    vit,
)
from randomised import randomise
from timm.layers import DropPath
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from densevit.networks import restoration
from densevit.networks.restoration import (
    ATD,
    CAT,
    DRCT,
    HAT,
    MAT,
    DPTRestoration,
    HiTSR,
    HoleLoss,
    PixelLoss,
    RestorationNetwork,
    Restormer,
    Swin2SR,
    SwinIR,
)
from densevit.networks.restoration.atd import CategoryAttention
from densevit.networks.restoration.base import mirror_to_multiple
from densevit.networks.restoration.degradation_classifier import DegradationClassifier
from densevit.networks.restoration.hat import OverlappingCrossAttention
from densevit.networks.restoration.stages import outputs_of
from densevit.networks.restoration.windows import (
    WindowAttention,
    attend,
    from_windows,
    to_windows,
    window_parts,
)

SMALL = dict(embed_dim=16, depths=(1, 2), num_heads=2)
ROWS = {
    'ATD': (ATD, dict(SMALL, scale=2, window_size=8, category_size=40, num_tokens=8, reduced_dim=4)),
    'CAT': (CAT, dict(SMALL, scale=2, embed_dim=32, short_sides=(2, 4), long_side=8, mlp_ratio=2.)),
    'CAT axial': (CAT, dict(SMALL, scale=1, embed_dim=32, short_sides=(2, 4), long_side=None, upsampler=None)),
    'DPTRestoration': (DPTRestoration, dict(
        backbone=lambda: vit(depth=4, patch_size=14, img_size=56, out_indices=(0, 1, 2, 3)), channels=(8, 8, 8, 8),
        width=8, num_features=8, depth=1)),
    'DPTRestoration pyramid': (DPTRestoration, dict(backbone=pyramid, scale=2, width=8, num_features=8, depth=1)),
    'DRCT': (DRCT, dict(scale=3, embed_dim=16, num_groups=2, num_heads=2, window_size=8, growth=4)),
    'HAT': (HAT, dict(SMALL, scale=4, window_size=8, compress_ratio=2, squeeze_factor=4, conv_scale=1.)),
    'HiTSR': (HiTSR, dict(SMALL, scale=2, window_size=4, window_ratios=(1, 4))),
    'HiTSR with N-grams': (HiTSR, dict(SMALL, scale=2, window_size=4, window_ratios=(1, 2), conv_ffn=False,
                                       ngrams=True)),
    'MAT': (MAT, dict(dim=16, depths=(1, 2, 1, 2, 1), num_heads=2, window_sizes=(2, 4, 2, 3, 2))),
    'MAT from interpolation': (MAT, dict(
        dim=16, widths=(4, 6, 8), depths=(1, ) * 5, num_heads=2, window_sizes=(4, ) * 5, skip='pyramid')),
    'Restormer': (Restormer, dict(dim=8, num_blocks=(1, 2, 1, 1), num_refinement_blocks=1)),
    'Restormer grey': (Restormer, dict(in_channels=1, dim=8, num_blocks=(1, ) * 4, norm='bias_free')),
    'Swin2SR': (Swin2SR, dict(SMALL, scale=2, upsampler='pixelshuffledirect')),
    'Swin2SR compressed': (Swin2SR, dict(SMALL, scale=4, upsampler='pixelshuffle_aux')),
    'Swin2SR with high frequencies': (Swin2SR, dict(SMALL, scale=2, upsampler='pixelshuffle_hf')),
    'SwinIR': (SwinIR, dict(SMALL, scale=4, upsampler='nearest+conv', group_convs=3)),
    'SwinIR light': (SwinIR, dict(SMALL, scale=2, upsampler='pixelshuffledirect', skip='bicubic')),
    'SwinIR grey': (SwinIR, dict(SMALL, in_channels=1, window_size=7, img_range=255.)),
}
# To trace takes long, and networks differ in their blocks alone: HAT and CAT were traced once, too.
TRACED = ('SwinIR', )


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


def build(name, seed=0):
    cls, options = ROWS[name]
    torch.manual_seed(seed)
    options = {key: value() if callable(value) else value for key, value in options.items()}
    if cls not in (ATD, DPTRestoration, MAT, Restormer):
        options['drop_path_rate'] = 0.
    return randomise(cls(**options), seed)


def images(network, size, count=2):
    found = images_of(size, count)[:, :network.out_channels].sigmoid()
    return torch.cat((found, found[:, :1] > .4), 1) if network.takes_mask else found


def test_every_restorer_has_a_row():
    public = {name for name in restoration.__all__ if isinstance(cls := getattr(restoration, name), type)
              and issubclass(cls, RestorationNetwork) and cls is not RestorationNetwork}
    assert public == {cls.__name__ for cls, _ in ROWS.values()}


@torch.no_grad()
def test_any_size(name):
    """Of sides that no window divides, also smaller than a window and of one pixel; images do not see each other."""
    network = build(name).eval()
    for size in ((19, 35), (5, 40), (1, 9)):
        batch = images(network, size, 3)
        together = network(batch)
        assert together.shape == (3, network.out_channels, *(network.scale * side for side in size))
        assert together.isfinite().all()
        assert_near([network(batch[1:2])], [together[1:2]])


def test_every_parameter_learns(name):
    network = build(name)

    def learn(network):
        batch = images(network, (16, 24))
        target = torch.rand(2, network.out_channels, *(network.scale * side for side in (16, 24)))
        mask = [batch[:, -1:] == 0] if network.takes_mask else []
        loss = sum(network.loss_class('charbonnier')(network(batch), target, *mask).values())
        assert loss.isfinite()
        loss.backward()

    # A constant that is added to all biases of a head changes no attention.
    still = [key for key, _ in network.named_parameters() if key.endswith('pos.pos3.2.bias')]
    learn(network.train())
    if still:
        assert all(parameter.grad is not None for parameter in network.parameters())
    else:
        network.zero_grad()
        check_every_parameter_learns(network, learn)


def test_stages_make_the_image_and_tell_of_it(name):
    """In the order of the list, with the channels that it tells; all learn from what the later half tells."""
    network = build(name).train()
    stages = network.feature_stages()
    later = stages[len(stages) // 2:]
    with outputs_of(stages) as outputs:
        network(images(network, (16, 24)))
    assert [output.shape[1] for output in outputs] == [stage.channels for stage in stages]
    assert not any(stage.module._forward_hooks for stage in stages)
    classifier = DegradationClassifier([stage.channels for stage in later], 3, width=4)
    logits = classifier(outputs[-len(later):])
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    learning = [any(p.grad is not None and p.grad.any() for p in stage.module.parameters()) for stage in stages]
    assert all(learning)


@pytest.mark.parametrize('name', ['SwinIR', 'ATD'])
def test_saved_and_loaded(name):
    check_saved_and_loaded(build(name), build(name, seed=1))


@pytest.mark.parametrize('name', TRACED)
@torch.no_grad()
def test_compiles_as_one_graph_for_all_sizes(name):
    network = build(name).eval()
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend='eager')
    for size in ((16, 24), (21, 37)):
        batch = images(network, size)
        assert_near([compiled(batch)], [network(batch)])


@pytest.mark.parametrize('name', ['SwinIR', 'Restormer'])
@torch.no_grad()
def test_exports_for_all_sizes(name):
    network = build(name).eval()
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.export.export(network, (images(network, (20, 28)), ), strict=False,
                                  dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic}, )).module()
    for count, size in ((1, (16, 40)), (3, (31, 23))):
        batch = images(network, size, count)
        assert_near([program(batch)], [network(batch)])


def test_a_network_with_a_skip_begins_as_interpolation():
    cls, options = ROWS['SwinIR light']
    batch = torch.rand(1, 3, 16, 24)
    enlarged = torch.nn.functional.interpolate(batch, scale_factor=2, mode='bicubic')
    torch.testing.assert_close(cls(**options).eval()(batch), enlarged)


@pytest.mark.parametrize(('cls', 'options'), [
    (SwinIR, dict(depths=(2, ))), (HAT, dict(depths=(2, ))), (CAT, dict(depths=(2, ))), (ATD, dict(depths=(2, ))),
    (DRCT, dict(num_groups=1)), (HiTSR, dict(depths=(2, ), ngrams=True)),
    (Swin2SR, dict(depths=(2, ), scale=2, upsampler='pixelshuffle_hf'))])
def test_linear_layers_begin_as_in_the_authors_code(cls, options):
    """Of a deviation of .02 and without a bias; norms and convolutions as PyTorch has them."""
    torch.manual_seed(0)
    network = cls(**options)
    kinds = dict(linear=[], norm=[])
    for module in network.modules():
        if isinstance(module, nn.Linear):
            kinds['linear'].append(module)
        elif isinstance(module, nn.LayerNorm):
            kinds['norm'].append(module)
    assert all(not module.bias.any() for module in kinds['linear'] if module.bias is not None)
    large = [module.weight for module in kinds['linear'] if module.weight.numel() > 5000]
    assert len(large) >= 4
    assert all(weight.std().item() == pytest.approx(.02, rel=.05) and weight.abs().max() > .05 for weight in large)
    assert all((module.weight == 1).all() and not module.bias.any() for module in kinds['norm'])
    # PyTorch's convolutions are uniform up to the root of one over what they read.
    for conv in (network.conv_first, network.conv_after_body):
        bound = (conv.weight[0].numel())**-.5
        assert .9 * bound < conv.weight.abs().max() <= bound and conv.bias.any()


def test_rates_of_stochastic_depth():
    """From none to the given one; those of DRCT are every sixth of as many as the authors' options have."""
    def rates(network):
        return [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]

    small = dict(scale=2, embed_dim=16, num_heads=2, drop_path_rate=.1)
    assert rates(HAT(**small, depths=(2, 3))) == pytest.approx([0, .025, .05, .075, .1])
    drct = DRCT(**small, num_groups=6, growth=4)
    assert rates(drct)[::5] == pytest.approx([.1 * group * 6 / 35 for group in range(6)])
    assert rates(drct)[-1] == pytest.approx(.0857, abs=5e-5)


def test_images_of_other_channels_are_refused(name):
    """In place of a network for colours whose mean makes three channels of one; the message says both numbers."""
    network = build(name)
    wrong = 1 if network.in_channels == 3 else 3
    with pytest.raises(ValueError, match=f'of {network.in_channels}.*not {wrong} channels'):
        network(torch.rand(1, wrong, 16, 24))


def test_windows_there_and_back():
    x = torch.arange(2 * 12 * 20 * 3).view(2, 12, 20, 3)
    windows = to_windows(x, (4, 10))
    assert windows.shape == (2, 6, 40, 3)
    assert torch.equal(windows[1, 3], x[1, 4:8, 10:20].reshape(40, 3))
    assert torch.equal(from_windows(windows, (4, 10), (12, 20)), x)


def test_parts_of_moved_windows_are_what_were_neighbours():
    parts = window_parts((8, 12), 4, torch.device('cpu'))  # moved by 2: the last rows and columns came from the others
    assert parts.shape == (6, 16, 2) and not parts[:2].any()
    place, none = torch.arange(16), torch.zeros(16, dtype=torch.bool)
    assert torch.equal(parts[2], torch.stack((none, place % 4 >= 2), 1))
    assert torch.equal(parts[3], torch.stack((place // 4 >= 2, none), 1))
    assert torch.equal(parts[5], torch.stack((place // 4 >= 2, place % 4 >= 2), 1))
    along = window_parts((8, 12), (8, 4), torch.device('cpu'), (0, 1))
    assert not along[..., 0].any() and torch.equal(along[2, :, 1], torch.arange(32) % 4 == 3)


@pytest.mark.parametrize('dtype', (torch.float64, torch.float32, torch.bfloat16, torch.float16))
@pytest.mark.parametrize('moved', (False, True))
def test_attention_of_windows_is_that_of_each_window_and_part(dtype, moved):
    """Also of few bits: tokens of another part count for nothing, and those of the own one keep their digits."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 6, 3, 16, 5, generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(3, 16, 16, generator=generator, dtype=torch.float64).to(dtype)
    parts = window_parts((8, 12), 4, torch.device('cpu')) if moved else None
    found = attend(q, k, v, bias, parts, scale=.3)
    assert found.shape == (2, 6, 16, 15) and found.dtype == dtype
    for window in range(6):
        logits = .3 * q[:, window].double() @ k[:, window].double().transpose(-1, -2) + bias.double()
        if moved:
            alike = (parts[window].unsqueeze(1) == parts[window]).all(-1)
            logits = logits.masked_fill(~alike, float('-inf'))
        expected = (logits.softmax(-1) @ v[:, window].double()).transpose(1, 2).flatten(2)
        torch.testing.assert_close(found[:, window].double(), expected, rtol=0,
                                   atol={torch.float64: 1e-12, torch.float32: 1e-6}.get(dtype, 3e-2))


class Largest(TorchDispatchMode):
    """The number of values of the largest tensor that is made within."""
    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else (found, ):
            if isinstance(each, torch.Tensor) and each._base is None:
                self.values = max(self.values, each.untyped_storage().nbytes() // each.element_size())
        return found


@torch.no_grad()
@pytest.mark.parametrize('kind', ('still', 'moved', 'overlapping', 'category'))
def test_attention_keeps_no_weights_of_all_pairs_of_tokens(kind):
    """Of large windows they would be most of the memory, and so would masks of each window."""
    maps = torch.rand(2, 64, 96, 24)  # 24 windows of 16x16 pixels
    if kind == 'category':
        layer, given = CategoryAttention(24, 3, 256, True), (maps.flatten(1, 2).repeat(1, 1, 3), torch.rand(2, 6144, 8))
    elif kind == 'overlapping':
        layer, given = OverlappingCrossAttention(24, 16, .5, 3, 2.), (maps, )
    else:
        parts = window_parts((64, 96), 16, maps.device)
        layer, given = WindowAttention(24, 16, 3), (to_windows(maps, (16, 16)), parts if kind == 'moved' else None)
    with Largest() as largest:
        layer.eval()(*given)
    assert largest.values <= 7 * maps.numel() < 2 * 24 * 3 * 256**2 / 4


@pytest.mark.parametrize('length', (1, 2, 3, 7, 8))
def test_mirrored_images(length):
    """As ``F.pad`` does where it can, and back and forth where it cannot."""
    line = torch.arange(1., length + 1).view(1, 1, 1, length)
    found = mirror_to_multiple(line, 8)[0, 0, 0]
    there = list(range(1, length + 1)) + list(range(length - 1, 1, -1))
    assert found.tolist() == [there[place % len(there)] for place in range(8)]
    edge = list(range(1, length + 1)) + list(range(length, 0, -1))
    assert mirror_to_multiple(line, 8, True)[0, 0, 0].tolist() == [edge[place % len(edge)] for place in range(8)]


def test_options_that_do_not_go_together():
    for wrong, said in ((dict(scale=2), 'needs an upsampler'), (dict(scale=6, upsampler='pixelshuffle'), 'power of 2'),
                        (dict(scale=3, upsampler='nearest+conv'), '2 or 4'), (dict(num_heads=(2, 2, 2)), 'num_heads'),
                        (dict(upsampler='cubic', scale=2), 'choose')):
        with pytest.raises(ValueError, match=said):
            SwinIR(**{**SMALL, **wrong})
    for network in (ATD, CAT, HAT, Swin2SR, SwinIR):
        with pytest.raises(ValueError, match='embed_dim=16 is no multiple of num_heads=3'):
            network(scale=2, embed_dim=16, depths=(1, ), num_heads=3, upsampler='pixelshuffle')
    with pytest.raises(ValueError, match='divide'):
        DRCT(scale=2, embed_dim=16, num_heads=5, growth=4)
    with pytest.raises(ValueError, match='even'):
        CAT(**{**SMALL, 'embed_dim': 18, 'num_heads': 3})


def test_losses():
    a, b = torch.tensor([.5, .2]), torch.tensor([.2, .6])
    assert PixelLoss()(a, b)['loss_pixel'].item() == pytest.approx(.35)
    assert PixelLoss('mse')(a, b)['loss_pixel'].item() == pytest.approx(.125)
    assert PixelLoss('charbonnier', eps=.4)(a, b)['loss_pixel'].item() == pytest.approx((.5 + .32**.5) / 2)
    with pytest.raises(ValueError, match='charbonnier'):
        PixelLoss('l3')


def test_loss_of_holes():
    """Means of hidden and of visible pixels, weighted; an image without a hole has no such loss."""
    restored, target = torch.zeros(1, 3, 2, 2), torch.tensor([[.1, .2], [.3, .6]]).expand(1, 3, 2, 2)
    mask = torch.tensor([[False, True], [False, True]]).view(1, 1, 2, 2)
    losses = HoleLoss(hole_weight=2., visible_weight=.5)(restored, target, mask)
    assert losses['loss_hole'].item() == pytest.approx(.8) and losses['loss_visible'].item() == pytest.approx(.1)
    losses = HoleLoss('mse')(restored, target, torch.zeros_like(mask))
    assert losses['loss_hole'] == 0 and losses['loss_visible'].item() == pytest.approx(.0125)

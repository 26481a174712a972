"""ECO-M2F: exits are networks of fewer layers, images keep to their own exit, the gate learns."""
import pytest
import torch
from hf_swin import tiny_swin
from randomised import randomise

from densevit import load_weights
from densevit.networks.segmentation import ECOMask2FormerNet, Mask2FormerNet, MaskClassificationLoss, MaskTarget
from densevit.networks.segmentation.eco.network import best_exits, fit_gate

SIZES = dict(num_queries=5, embed_dim=32, num_heads=2, encoder_ffn_dim=48, decoder_layers=1, decoder_ffn_dim=40,
             mask_dim=32)


def build(**options):
    return randomise(ECOMask2FormerNet(tiny_swin(), 4, **{**SIZES, **dict(encoder_layers=4), **options}))


@torch.no_grad()
def test_an_exit_is_a_network_with_that_many_layers():
    for stop in [2, 3, 4]:
        model, images = build(exit=stop), torch.randn(2, 3, 64, 96)
        shallow = Mask2FormerNet(tiny_swin(), 4, encoder_layers=stop, **SIZES).eval()
        shallow.load_state_dict({name: x for name, x in model.state_dict().items() if name in shallow.state_dict()})
        for mine, theirs in zip(model(images), shallow(images), strict=True):
            assert torch.equal(mine.masks, theirs.masks) and torch.equal(mine.classes, theirs.classes)


@torch.no_grad()
def test_every_image_runs_the_layers_that_the_gate_chose_and_no_others():
    model, images = build(), torch.randn(4, 3, 64, 96)
    counts = []
    for layer in model.pixel_decoder.layers:
        layer.register_forward_hook(lambda module, args, output: counts.append(len(output.x)))
    model.choose = lambda inputs: [3, 2, 4, 2]
    together = model(images)[-1]
    assert counts == [4, 4, 2, 1]
    for index, stop in enumerate((3, 2, 4, 2)):
        model.exit = stop
        alone = model(images[index:index + 1])[-1]
        torch.testing.assert_close(together.masks[index], alone.masks[0], rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_the_gate_reads_the_mean_of_the_coarsest_level():
    model, images = build(), torch.randn(3, 3, 64, 96)
    seen = []
    model.exit_gate.register_forward_pre_hook(lambda gate, args: seen.append(args[0]))
    model(images)
    (inputs, ) = seen
    coarsest = model.pixel_decoder.input_proj[0](model.backbone(images)[-1].contiguous())
    torch.testing.assert_close(inputs, coarsest.mean((2, 3)), rtol=1e-4, atol=1e-4)
    assert [model.exits[index] for index in model.exit_gate(inputs).argmax(1)] == model.choose(inputs)


def test_a_step_draws_exits_and_weights_their_losses():
    model = build(exits_per_step=3).train()
    targets = [MaskTarget(torch.tensor([1, 2]), torch.rand(2, 64, 96) > .5)]
    predictions = model(torch.randn(1, 3, 64, 96))
    assert [x.weight for x in predictions] == [2., 2., 3., 3., 4., 4.]
    criterion, plain = model.loss_class(4, num_points=50), MaskClassificationLoss(4, num_points=50)
    torch.manual_seed(0)
    weighted = criterion(predictions, targets)
    torch.manual_seed(0)
    losses = plain(predictions, targets)
    for index, name in enumerate(('d0.loss_mask', 'd1.loss_mask', 'd2.loss_cls', 'd3.loss_dice', 'd4.loss_cls',
                                  'loss_mask')):
        torch.testing.assert_close(weighted[name], predictions[index].weight * losses[name])
    model = build().train()
    drawn = {model(torch.randn(1, 3, 64, 64))[-1].weight for _ in range(20)}
    assert drawn == {2., 3., 4.}


def test_the_weights_of_a_mask2former_fit_but_for_the_gate():
    eco = build()
    state = {name: torch.randn_like(x) if x.is_floating_point() else x for name, x in eco.state_dict().items()}
    plain = {f'network.{name}': x for name, x in state.items() if not name.startswith('exit_gate.')}
    report = load_weights(eco, plain)
    assert sorted(report.missing) == ['exit_gate.bias', 'exit_gate.weight']
    assert all(eco.state_dict()[name].equal(x) for name, x in state.items() if not name.startswith('exit_gate.'))


def test_every_parameter_but_the_gates_has_a_gradient_at_any_exit():
    model = build().train()
    model._draw = lambda: [2]
    sum(x.masks.square().mean() + x.classes.square().mean() for x in model(torch.randn(1, 3, 64, 64))).backward()
    lacking = [name for name, x in model.named_parameters() if x.grad is None]
    assert lacking == ['exit_gate.weight', 'exit_gate.bias']
    assert not model.pixel_decoder.layers[3].norm.weight.grad.any()


def test_the_best_exit_has_the_greatest_utility_and_the_least_cost_among_equals():
    quality = torch.tensor([[.50, .52, .53], [.5, .5, .5], [.1, .2, .9]])
    assert best_exits(quality, 0., (2, 3, 4)).tolist() == [2, 0, 2]
    assert best_exits(quality, .015, (2, 3, 4)).tolist() == [1, 0, 2]
    assert best_exits(quality, .5, (2, 3, 4)).tolist() == [0, 0, 0]


def test_the_gate_learns_the_best_exits():
    model = build()
    inputs = torch.randn(200, 32)
    targets = torch.randn(32, 3).T.matmul(inputs.T).argmax(0)
    before = model.exit_gate.weight.clone()
    assert fit_gate(model.exit_gate, inputs, targets, decay=1e-6) < .1
    assert not torch.equal(model.exit_gate.weight, before)
    chosen = torch.tensor(model.choose(inputs)) - model.exits[0]
    assert (chosen == targets).float().mean() > .95


def test_wrong_options_are_explained():
    for options, message in [
        (dict(first_exit=5), 'first_exit=5, but the encoder has 4 layers'), (dict(exit=1), 'exit=1: choose one of'),
        (dict(exit_weights=(1., 2.)), 'exit_weights has 2 numbers'), (dict(exits_per_step=9), 'choose 1 to 3')]:
        with pytest.raises(ValueError, match=message):
            build(**options)

"""The linear classifier: its equation, its statistics, DINOv2's published heads."""
import pytest
import torch
from randomised import randomise

from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.segmentation import LinearNet
from densevit.weights import load_weights

TINY = dict(embed_dim=32, depth=3, num_heads=2, img_size=64)


def levels(**kwargs):
    return PlainViT(**{**TINY, 'out_indices': (1, 2), **kwargs})


@pytest.mark.parametrize('training', [False, True])
@torch.no_grad()
def test_is_a_normed_linear_map_of_each_pixel(training):
    model = randomise(LinearNet(levels(), 5)).train(training)
    images = torch.randn(2, 3, 50, 70)
    x = torch.cat(model.backbone(images), 1)  # (2, 64, 4, 5)
    flat = x.movedim(1, -1).reshape(-1, 64).double()
    mean, var = ((flat.mean(0), flat.var(0, unbiased=False)) if training else
                 (model.norm.running_mean.double(), model.norm.running_var.double()))
    normed = (flat - mean) / (var + model.norm.eps).sqrt() * model.norm.weight + model.norm.bias
    expected = normed @ model.classifier.weight.flatten(1).T.double() + model.classifier.bias
    actual = model(images)
    assert len(actual) == 1 and actual[0].shape == (2, 5, 4, 5)
    torch.testing.assert_close(actual[0], expected.float().view(2, 4, 5, 5).movedim(-1, 1), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_coarse_maps_come_to_the_finest():
    trunk = TimmPyramid('swin_tiny_patch4_window7_224', embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1),
                        out_indices=(1, 3))
    model = randomise(LinearNet(trunk, 5, norm=False))
    images = torch.randn(1, 3, 64, 96)
    fine, coarse = trunk(images)
    coarse = torch.nn.functional.interpolate(coarse, fine.shape[-2:], mode='bilinear')
    torch.testing.assert_close(model(images)[0], model.classifier(torch.cat((fine, coarse), 1)))


def test_a_frozen_backbone_only_its_head_learns():
    model = LinearNet(levels(frozen_stages=4), 5).train()
    statistics = model.norm.running_mean.clone()
    model(torch.randn(2, 3, 64, 64))[0].square().mean().backward()
    learns = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learns == {'norm.weight', 'norm.bias', 'classifier.weight', 'classifier.bias'}
    assert not torch.equal(model.norm.running_mean, statistics)


def bn_head(classes=7, channels=64):
    """What DINOv2 publishes: mmsegmentation's names of the head alone, with the run's record."""
    generator = torch.Generator().manual_seed(0)
    state = {f'decode_head.bn.{name}': torch.rand(channels, generator=generator)
             for name in ('weight', 'bias', 'running_mean', 'running_var')}
    state |= {'decode_head.bn.num_batches_tracked': torch.tensor(3),
              'decode_head.conv_seg.weight': torch.randn(classes, channels, 1, 1, generator=generator),
              'decode_head.conv_seg.bias': torch.randn(classes, generator=generator)}
    return state


@torch.no_grad()
def test_published_heads_are_read(tmp_path):
    head, file = bn_head(), tmp_path / 'head.pth'
    torch.save(dict(state_dict=head, meta=dict(epoch=1)), file)
    model = randomise(LinearNet(levels(), 7))
    kept = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    report = load_weights(model, file)
    assert set(report.kept) == {f'backbone.{name}' for name in kept} == set(report.missing)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.backbone.state_dict().items())
    images = torch.randn(1, 3, 64, 96)
    x = torch.nn.functional.batch_norm(
        torch.cat(model.backbone(images), 1), *(head[f'decode_head.bn.{name}']
                                                for name in ('running_mean', 'running_var', 'weight', 'bias')))
    expected = torch.nn.functional.conv2d(x, head['decode_head.conv_seg.weight'], head['decode_head.conv_seg.bias'])
    torch.testing.assert_close(model(images)[0], expected)


def test_a_head_with_its_backbone_is_read():
    source, model = randomise(levels(), 1), randomise(LinearNet(levels(), 7), 2)
    state = bn_head() | {f'backbone.{name}': tensor for name, tensor in source.trunk.state_dict().items()}
    assert not load_weights(model, state).missing
    for name, tensor in source.trunk.state_dict().items():
        assert torch.equal(model.backbone.trunk.state_dict()[name], tensor)

import pytest
import torch
import torch.nn.functional as F
from randomised import randomise

from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.segmentation import PixelClassificationLoss, VPNeXt
from densevit.networks.segmentation.vpnext import VisualContextReplay, ViTUp

NUM_CLASSES, WIDTH = 5, 32


def vit(out_indices=(0, 1, 3), **kwargs):
    return PlainViT(img_size=64, embed_dim=WIDTH, depth=4, num_heads=2, out_indices=out_indices, **kwargs)


def build(backbone=None, **kwargs):
    torch.manual_seed(0)
    return randomise(VPNeXt(backbone or vit(), NUM_CLASSES, embed_dim=16, guide_dim=8, **kwargs))


def images(height=48, width=80):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def deformable(x, offsets, layer):
    """Every tap of the kernel reads a map that is shifted, place by place, and is zero outside."""
    height, width = x.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    result = layer.bias[None, :, None, None]
    for tap in range(9):
        down, right = tap // 3 - 1, tap % 3 - 1
        y = rows + down + offsets[:, 2 * tap]
        x_ = columns + right + offsets[:, 2 * tap + 1]
        grid = torch.stack((2 * x_ / (width - 1) - 1, 2 * y / (height - 1) - 1), -1)
        read = F.grid_sample(x, grid, padding_mode='zeros', align_corners=True)
        result = result + torch.einsum('oc,bchw->bohw', layer.weight[:, :, down + 1, right + 1], read)
    return result


def test_replay__is_its_equations():
    torch.manual_seed(0)
    replay = randomise(VisualContextReplay((12, 20), 16, NUM_CLASSES))
    features, z = [torch.randn(2, channels, 5, 7) for channels in (12, 20)], torch.randn(2, 16, 5, 7)
    offsets = F.conv2d(z, replay.offsets.weight, replay.offsets.bias, padding=1)
    assert offsets.abs().max() > 1.
    q, k = (torch.einsum('oc,bcn->bno', part.weight[:, :, 0, 0], z.flatten(2)) + part.bias
            for part in (replay.query, replay.key))
    affinity = torch.stack([(own_q @ own_k.T / 2).exp() for own_q, own_k in zip(q, k, strict=True)])  # 4 channels
    affinity = affinity / affinity.sum(2, keepdim=True)
    for index, logits in enumerate(replay(features, z)):
        local = deformable(replay.projections[index](features[index]), offsets, replay.local[index])
        replayed = local.clone()
        for place in range(35):
            share = affinity[:, place]  # (2, 35)
            replayed[..., place // 7, place % 7] += (share[:, None] * local.flatten(2)).sum(2)
        expected = replay.classifiers[index](replay.norms[index](replayed))
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_replay__starts_as_a_plain_convolution():
    replay = VisualContextReplay((16, ), 16, NUM_CLASSES)
    x, seen = torch.randn(1, 16, 5, 7), []
    replay.local[0].register_forward_hook(lambda module, args, result: seen.extend((args[0], result)))
    replay([x], torch.randn(1, 16, 5, 7))
    torch.testing.assert_close(seen[1], F.conv2d(seen[0], replay.local[0].weight, replay.local[0].bias, padding=1))


def test_replay__teaches_the_last_feature_through_offsets_and_affinity():
    """The auxiliary losses alone reach all blocks, also the one behind the features they classify."""
    network = build(vit((0, 1, 3))).train()
    predictions = network(images())
    assert [x.shape for x in predictions] == [(2, NUM_CLASSES, 3, 5)] * 2 + [(2, NUM_CLASSES, 12, 20)]
    sum(x.square().mean() for x in predictions[:-1]).backward()
    for part in (*network.backbone.trunk.blocks, network.neck, network.replay):
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for name, parameter
                   in part.named_parameters() if 'key.bias' not in name and 'attn.qkv.bias' not in name)
    assert network.classifier.weight.grad is None


def test_replay__does_not_run_in_evaluation():
    with_replay, without = build(), build(replay=False)
    without.load_state_dict({name: x for name, x in with_replay.state_dict().items() if 'replay' not in name})
    ran = []
    with_replay.replay.register_forward_hook(lambda *args: ran.append(args))
    (answer, ) = with_replay.eval()(images())
    assert answer.equal(without.eval()(images())[0]) and not ran
    assert len(without.train()(images())) == 1


def test_pyramid__is_the_patch_kernel_at_finer_strides():
    for patch, strides in [(16, (8, 4)), (8, (4, )), (14, (7, ))]:
        network = build(vit(patch_size=patch))
        batch = images(3 * patch, 4 * patch)
        _, levels = network.pyramid(network.backbone, batch)
        assert network.pyramid.strides == list(strides)
        kernel, border = network.backbone.trunk.patch_embed.proj, patch
        wide = F.pad(batch, (border, ) * 4)
        for level, stride, projection in zip(levels, strides, network.pyramid.projections, strict=True):
            assert level.shape == (2, 8, 3 * patch // stride, 4 * patch // stride)
            for row, column in ((0, 0), (1, 3), (level.shape[2] - 1, level.shape[3] - 1)):
                top, left = (index * stride - (patch - stride) // 2 + border for index in (row, column))
                seen = wide[:, :, top:top + patch, left:left + patch]
                torch.testing.assert_close(level[:, :, row, column], projection(kernel(seen)).flatten(1),
                                           rtol=1e-4, atol=1e-4)


def test_pyramid__of_a_stem_and_of_maps():
    stem = dict(model_name='resnet18', out_indices=(1, 2, 3))
    network = build(vit(stem=stem))
    maps, levels = network.pyramid(network.backbone, images(64, 96))
    assert [x.shape[2:] for x in levels] == [(8, 12), (16, 24)]
    tokens = network.backbone.embed(images(64, 96))
    torch.testing.assert_close(levels[1], network.pyramid.projections[1](tokens.stem[0]))
    torch.testing.assert_close(maps[-1], network.backbone(images(64, 96))[-1])
    network = build(TimmPyramid('resnet18', out_indices=(1, 2, 3, 4)))
    assert network(images(64, 96))[0].shape == (2, NUM_CLASSES, 16, 24)
    assert [x.shape for x in network.train()(images(64, 96))[:-1]] == [(2, NUM_CLASSES, 2, 3)] * 3


def test_upsampling__without_its_convolutions_is_bilinear():
    up = ViTUp(16, 8, 2)
    x, guides = torch.randn(1, 16, 3, 5), [torch.randn(1, 8, 6, 10), torch.randn(1, 8, 12, 20)]
    guided = up(x, guides)
    changed = up(x, [guides[0], guides[1] + 1.])
    assert not torch.allclose(guided, changed)
    for step in up.steps:
        torch.nn.init.zeros_(step[0].weight)
    twice = F.interpolate(F.interpolate(x, scale_factor=2, mode='bilinear'), scale_factor=2, mode='bilinear')
    torch.testing.assert_close(up(x, guides), twice)


def test_auxiliary_predictions_have_less_weight():
    network = build().train()
    labels = torch.randint(NUM_CLASSES, (2, 48, 80), generator=torch.Generator().manual_seed(0))
    predictions = network(images())
    losses = PixelClassificationLoss(NUM_CLASSES)(predictions, labels)
    first = F.cross_entropy(F.interpolate(predictions[0], (48, 80), mode='bilinear'), labels)
    torch.testing.assert_close(losses['aux0.loss_seg'], .4 * first)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_half_precision():
    network = build().train()
    with torch.autocast('cpu', torch.bfloat16):
        assert all(x.isfinite().all() for x in network(images()))


def test_wrong_backbones_are_explained():
    with pytest.raises(ValueError, match='replay=False'):
        build(vit((3, )))
    with pytest.raises(ValueError, match='out_indices='):
        build(vit(stem=dict(model_name='resnet18', out_indices=(3, ))))

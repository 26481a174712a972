"""Queries tied to cells of patches."""
import math

import pytest
import torch
from randomised import randomise

from densevit.backbones import PlainViT
from densevit.networks.segmentation import EoMT


def build(per_cell=1, cell=2, **options):
    trunk = PlainViT(embed_dim=32, depth=3, num_heads=2, img_size=64, patch_size=16)
    return EoMT(trunk, 3, num_queries=per_cell, num_blocks=2, query_cell=cell, **options)


@torch.no_grad()
def test_larger_images_have_more_queries():
    for size, cell, per_cell, expected in [
        ((64, 96), 1, 1, 24), ((64, 96), 2, 1, 6), ((65, 96), 2, 1, 9), ((64, 96), 2, 3, 18), ((48, 80), 4, 1, 2)]:
        predictions = build(per_cell, cell)(torch.randn(2, 3, *size))
        assert [len(x) for x in (predictions[0].masks[0], predictions[-1].classes[1])] == [expected] * 2


@pytest.mark.parametrize('size', [(64, 96), (80, 112)])  # cells at the border of the second hold fewer patches
@torch.no_grad()
def test_masks_begin_as_discs_around_their_cells(size):
    model = build(per_cell=2)
    for part in (model.mask_head[-1].weight, model.mask_head[-1].bias):
        part.zero_()
    masks = model(torch.randn(1, 3, *size))[-1].masks[0]
    columns = -(-size[1] // 32)
    for query, mask in enumerate(masks):
        row, column = divmod(query // 2, columns)
        y, x = torch.meshgrid(torch.arange(size[0] // 4) + .5, torch.arange(size[1] // 4) + .5, indexing='ij')
        away = torch.hypot(y / 8 - row - .5, x / 8 - column - .5)  # in cells of 8 mask pixels
        assert (mask[away < .35] > 0).all() and (mask[away > .5] < 0).all()
        assert mask.max() < 2 and mask.min() > -40  # an object far away gives no exploding loss


@torch.no_grad()
def test_a_query_moves_and_grows_its_mask():
    cells, queries, grid, size = build().cells, torch.zeros(1, 12, 32), (8, 6), (32, 24)
    across, down = cells.fade(queries, grid, size)
    cells.place.bias.copy_(torch.tensor([1., 0., 0., math.log(2.)]))
    moved, taller = cells.fade(queries, grid, size)
    torch.testing.assert_close(moved[..., 8:], across[..., :-8])  # a cell to the right
    before, after = (int((side[0, 3] + math.log(2.) > 0).sum()) for side in (down, taller))  # through the centre
    assert (before, after) == (8, 16)


@torch.no_grad()
def test_places_keep_full_precision_under_autocast():
    model = randomise(build(cell=1))
    queries = torch.randn(1, 64 * 64, 32)
    expected = model.cells.fade(queries, (64, 64), (256, 256))[0]
    model.cells.place.weight.zero_()
    expected_still = model.cells.fade(queries, (64, 64), (256, 256))[0]
    with torch.autocast('cpu', torch.bfloat16):
        still = model.cells.fade(queries, (64, 64), (256, 256))[0]
    assert not torch.allclose(expected, expected_still)
    assert still.dtype == torch.float32
    torch.testing.assert_close(still, expected_still, rtol=0, atol=.3)


@torch.no_grad()
def test_content_reaches_only_its_own_cell():
    model = randomise(build())
    tokens = model.backbone.embed(torch.randn(1, 3, 64, 96))
    before = model.cells.begin(tokens, model.query.weight)
    tokens.patches[:, 0] += torch.randn(32)  # the patch at the top left
    after = model.cells.begin(tokens, model.query.weight)
    assert (before != after).any(-1).tolist() == [[True] + 5 * [False]]


@torch.no_grad()
def test_the_batch_does_not_matter():
    model = randomise(build())
    images = torch.randn(3, 3, 50, 90)
    for one, many in zip(model(images[1:2])[-1], model(images)[-1], strict=True):
        torch.testing.assert_close(one[0], many[1], rtol=1e-5, atol=1e-5 * many.std().item())


def test_every_parameter_learns():
    model = randomise(build(per_cell=2, mask_dim=16, mask_stride=2)).train()
    masks, classes = zip(*model(torch.randn(2, 3, 64, 96)), strict=True)
    sum(part.square().mean() for part in (*masks, *classes)).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@torch.no_grad()
def test_stride_and_width_of_the_masks():
    for stride in [2, 4, 8]:
        model = build(mask_stride=stride, mask_dim=8)
        assert model(torch.zeros(1, 3, 64, 96))[-1].masks.shape[-2:] == (64 // stride, 96 // stride)
        assert model._upscale(model.backbone.embed(torch.zeros(1, 3, 64, 96))).shape[1] == 8


def test_a_mask_stride_that_upscaling_cannot_reach_is_refused():
    with pytest.raises(ValueError, match='mask_stride=3: choose'):
        build(mask_stride=3)

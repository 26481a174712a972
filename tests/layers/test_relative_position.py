"""Relative positions equal timm's at the native grid, and go on from there."""
import torch
from timm.models.beit import Attention
from timm.models.vision_transformer_sam import get_decomposed_rel_pos_bias

from densevit.layers import decomposed_rel_pos_bias, relative_position_bias


def test_decomposed_bias_equals_sams_at_any_grid():
    table_h, table_w = torch.randn(2 * 5 - 1, 6), torch.randn(2 * 5 - 1, 6)
    for grid in [(5, 5), (3, 7), (8, 2), (1, 4)]:
        q = torch.randn(2, 4, grid[0] * grid[1], 6)
        expected = get_decomposed_rel_pos_bias(q.flatten(0, 1), table_h, table_w, grid, grid)
        actual = decomposed_rel_pos_bias(q, table_h, table_w, grid)
        torch.testing.assert_close(actual.flatten(0, 1), expected, rtol=1e-5, atol=1e-5)


def _beit(grid):
    attention = Attention(8, 2, window_size=grid)
    torch.nn.init.normal_(attention.relative_position_bias_table)
    return attention


def test_bias_equals_beits_at_its_own_grid():
    attention = _beit((3, 5))
    actual = relative_position_bias(attention.relative_position_bias_table, (3, 5), (3, 5))
    assert torch.equal(actual, attention._get_rel_pos_bias())
    without = relative_position_bias(attention.relative_position_bias_table, (3, 5), (3, 5), class_token=False)
    assert torch.equal(without, actual[..., 1:, 1:])


def test_queries_have_no_bias():
    table = _beit((3, 5)).relative_position_bias_table
    bias = relative_position_bias(table, (3, 5), (3, 5), num_queries=4)
    assert bias.shape == (1, 2, 20, 20) and not bias[..., :4, :].any() and not bias[..., :4].any()
    assert torch.equal(bias[..., 4:, 4:], relative_position_bias(table, (3, 5), (3, 5)))


def test_another_grid_stretches_distances_and_keeps_the_class_token():
    """A table that grows linearly with the distance along the rows still does, and knows nothing of columns."""
    rows = torch.arange(-4., 5.)[:, None].expand(9, 9)
    table = torch.cat((rows.reshape(-1, 1), torch.tensor([[7.], [8.], [9.]])))
    bias = relative_position_bias(table, (5, 5), (7, 4))[0, 0]
    assert bias[0, 0] == 9 and (bias[0, 1:] == 7).all() and (bias[1:, 0] == 8).all()
    patches = bias[1:, 1:].reshape(7, 4, 7, 4)
    assert (patches.std((1, 3)) < 1e-4).all()
    along = patches[3, 0, :, 0]
    torch.testing.assert_close(along - along.flip(0).neg(), torch.zeros(7), atol=1e-4, rtol=0)
    assert (along.diff() < 0).all()

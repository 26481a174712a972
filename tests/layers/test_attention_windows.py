"""Tokens in windows: what is put in comes out, and nobody sees what does not belong to the window."""
import pytest
import torch

from densevit.layers import AttentionWindows


@pytest.mark.parametrize('grid, size', [((6, 9), 3), ((7, 8), 3), ((2, 3), 5)])
def test_merging_undoes_the_partition(grid, size):
    for shifted in [False, True]:
        for num_prefix in [0, 2]:
            windows = AttentionWindows(grid, size, num_prefix, shifted)
            x = torch.randn(2, num_prefix + grid[0] * grid[1], 4)
            parts = windows.partition(x)
            rows, columns = -(-grid[0] // size), -(-grid[1] // size)
            assert parts.shape == (2 * rows * columns, num_prefix + size * size, 4)
            torch.testing.assert_close(windows.merge(parts), x)


def test_a_window_is_a_square_of_the_grid():
    x = torch.arange(4 * 6).reshape(1, 24, 1)
    windows = AttentionWindows((4, 6), 2).partition(x)[..., 0]
    assert windows[0].tolist() == [0, 1, 6, 7] and windows[1].tolist() == [2, 3, 8, 9]
    assert windows[3].tolist() == [12, 13, 18, 19]


def test_copies_of_prefix_tokens_are_averaged():
    windows = AttentionWindows((2, 4), 2, num_prefix=1)
    parts = torch.zeros(2, 5, 1)
    parts[:, 0, 0] = torch.tensor([1., 5.])
    assert windows.merge(parts)[0, 0, 0] == 3


def _sees(grid, size, shifted):
    """Brute force: which token sees which, over the whole grid."""
    half = [size // 2 if shifted and side > size else 0 for side in grid]
    full = [-(-side // size) * size for side in grid]
    places = [(row, column) for row in range(grid[0]) for column in range(grid[1])]

    def window(place):
        return tuple((at - by) % length // size for at, by, length in zip(place, half, full, strict=True))

    def wrapped(place):
        return tuple(at < by for at, by in zip(place, half, strict=True))

    return torch.tensor([[window(a) == window(b) and wrapped(a) == wrapped(b) for b in places] for a in places])


@pytest.mark.parametrize('grid, size', [((6, 9), 3), ((7, 8), 3), ((2, 7), 4), ((8, 8), 4)])
def test_the_mask_is_that_of_brute_force(grid, size):
    for shifted in [False, True]:
        for num_prefix in [0, 2]:
            windows = AttentionWindows(grid, size, num_prefix, shifted)
            number = torch.arange(1, 1 + grid[0] * grid[1]).reshape(1, -1, 1)
            parts = windows.partition(torch.cat((number.new_full((1, num_prefix, 1), -1), number), dim=1))[..., 0]
            mask = windows.mask(1, torch.device('cpu'))
            if mask is None:
                mask = torch.ones(len(parts), 1, parts.shape[1], parts.shape[1], dtype=torch.bool)
            sees = torch.zeros(len(number[0]), len(number[0]), dtype=torch.bool)
            for tokens, allowed in zip(parts, mask[:, 0], strict=True):
                assert allowed.any(1).all(), 'a row without any key would give NaN'
                assert not allowed[tokens != 0][:, tokens == 0].any(), 'a pad is seen'
                real = tokens > 0
                assert allowed[real][:, tokens == -1].all() and allowed[tokens == -1][:, real].all()
                places = tokens[real] - 1
                sees[places.unsqueeze(1), places] |= allowed[real][:, real]
            assert torch.equal(sees, _sees(grid, size, shifted))


def test_no_mask_where_everybody_sees_everybody():
    assert AttentionWindows((6, 9), 3).mask(2, torch.device('cpu')) is None
    assert AttentionWindows((3, 3), 3, shifted=True).mask(2, torch.device('cpu')) is None
    assert AttentionWindows((7, 9), 3, mask_pads=False).mask(2, torch.device('cpu')) is None
    assert AttentionWindows((7, 9), 3).mask(2, torch.device('cpu')).shape == (18, 1, 9, 9)


@pytest.mark.parametrize('grid', [(8, 12), (7, 10), (2, 5)])
def test_a_number_of_windows_divides_any_grid(grid):
    """Rectangles; the last ones are pads where the grid has fewer rows than windows."""
    windows = AttentionWindows(grid, None, num_prefix=1, num_windows=4)
    height, width = (-(-side // 4) for side in grid)
    x = torch.randn(2, 1 + grid[0] * grid[1], 3)
    parts = windows.partition(x)
    assert parts.shape == (2 * 16, 1 + height * width, 3)
    patches = x[:, 1:].unflatten(1, grid)
    torch.testing.assert_close(parts[5, 1:].unflatten(0, (height, width))[:1, :1], patches[
        0, height:height + 1, width:width + 1] if height < grid[0] else torch.zeros(1, 1, 3))
    torch.testing.assert_close(windows.merge(parts), x)
    mask = windows.mask(2, x.device)
    assert mask is None if grid == (8, 12) else mask.shape == (32, 1, 1 + height * width, 1 + height * width)


def test_tokens_of_single_windows_go_there_and_come_back():
    """A shared token before eight of four windows, two each."""
    windows = AttentionWindows((4, 6), None, num_prefix=9, num_windows=2, num_own=8)
    x = torch.arange(9. + 24).view(1, -1, 1)
    parts = windows.partition(x)
    assert parts.shape == (4, 1 + 2 + 6, 1)
    assert parts[2, :3, 0].tolist() == [0., 5., 6.]
    torch.testing.assert_close(windows.merge(parts), x)

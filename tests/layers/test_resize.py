"""Rows of a resized map are those of F.interpolate."""
import torch
import torch.nn.functional as F

from densevit.layers import resize_rows


def test_rows_of_any_band():
    for source, target in [
        ((16, 24), (64, 96)), ((17, 23), (61, 40)), ((61, 40), (17, 23)), ((33, 20), (33, 50)), ((33, 20), (70, 20)),
        ((1, 1), (5, 7)), ((7, 5), (1, 1)), ((512, 3), (4000, 2)), ((4000, 3), (511, 2)),
    ]:
        maps = torch.randn(3, *source)
        expected = F.interpolate(maps[None], target, mode='bilinear')[0]
        assert torch.equal(resize_rows(maps, target, 0, target[0]), expected)
        for step in {1, 7, target[0] // 2 + 1}:
            starts = range(0, target[0], step)
            bands = [resize_rows(maps, target, start, min(start + step, target[0])) for start in starts]
            # Where a processor multiplies and adds in one step, weights of maps of thousands of rows differ a little.
            torch.testing.assert_close(torch.cat(bands, 1), expected, rtol=0, atol=1e-5 if max(source) < 100 else 1e-4)


def test_only_neighbouring_rows_are_read():
    maps = torch.full((1, 100, 4), torch.nan)
    maps[:, 48:53] = 1.
    assert resize_rows(maps, (400, 8), 196, 208).eq(1).all()

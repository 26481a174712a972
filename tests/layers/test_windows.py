"""Windows cover the image and average back to it."""
import pytest
import torch

from densevit.layers import average_windows, window_origins


@pytest.mark.parametrize('length, window, expected', [
    (512, 512, [0]),
    (300, 512, [0]),
    (683, 512, [0, 171]),
    (2048, 1024, [0, 1024]),
    (2049, 1024, [0, 512, 1025]),
])
def test_evenly_spread_origins(length, window, expected):
    assert window_origins(length, window) == expected


def test_strided_origins_end_at_the_border():
    assert window_origins(1000, 512, 341) == [0, 341, 488]


@pytest.mark.parametrize('size', [(48, 64), (33, 51), (20, 205)])
@pytest.mark.parametrize('stride', [None, (20, 16)])
def test_a_pointwise_prediction_comes_back_whole(size, stride):
    images = torch.randn(2, 3, *size)
    averaged = average_windows(images, (32, 32), lambda window: window * 2, stride)
    torch.testing.assert_close(averaged, images * 2)


def test_overlaps_are_averaged():
    values = iter([0., 1.])
    images = torch.zeros(1, 1, 4, 6)
    averaged = average_windows(images, (4, 4), lambda window: torch.full_like(window, next(values)))
    assert averaged[0, 0, 0].tolist() == [0, 0, .5, .5, 1, 1]

"""Windows cover the image."""
import pytest

from densevit.layers import window_origins


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

"""Windows cover the image."""

from densevit.layers import window_origins


def test_evenly_spread_origins():
    for length, window, expected in [
        (512, 512, [0]),
        (300, 512, [0]),
        (683, 512, [0, 171]),
        (2048, 1024, [0, 1024]),
        (2049, 1024, [0, 512, 1025]),
    ]:
        assert window_origins(length, window) == expected


def test_strided_origins_end_at_the_border():
    assert window_origins(1000, 512, 341) == [0, 341, 488]

"""Windows cover the image."""
import pytest

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


@pytest.mark.parametrize('length', [641, 1000, 1152, 1153, 4001])
@pytest.mark.parametrize('overlap', [0, 1, 128, 639])
def test_overlap_is_kept_by_the_fewest_windows(length, overlap):
    origins = window_origins(length, 640, overlap=overlap)
    assert origins[0] == 0 and origins[-1] == length - 640
    assert max(after - before for before, after in zip(origins, origins[1:], strict=False)) <= 640 - overlap
    assert (len(origins) - 1) * (640 - overlap) + overlap < length  # one less does not reach the end
    with pytest.raises(ValueError, match='overlap'):
        window_origins(length, 640, overlap=640)

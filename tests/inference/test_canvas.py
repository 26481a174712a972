from __future__ import annotations

import numpy as np
import pytest
import torch

from densevit.inference.canvas import MAX_ASPECT_RATIO, Canvas


@pytest.mark.parametrize('size', [(1, 1), (30, 50), (2, 64), (64, 2)])
def test_usual_picture_is_its_own_canvas(size):
    image = np.zeros((*size, 3), np.uint8)
    canvas = Canvas.fit(image, max_pixels=10_000)
    assert canvas.image is image
    maps = torch.arange(image[..., 0].size).reshape(size)
    assert torch.equal(canvas.restore(maps), maps)


@pytest.mark.parametrize('size', [(3, 200), (200, 3), (1, 100)])
def test_elongated_picture_is_padded_with_its_edge(size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    canvas = Canvas.fit(image, max_pixels=10_000)
    height, width = canvas.image.shape[:2]
    assert max(height, width) == max(size) and max(height, width) <= MAX_ASPECT_RATIO * min(height, width)
    np.testing.assert_array_equal(canvas.image[:size[0], :size[1]], image)
    np.testing.assert_array_equal(canvas.image[-1, -1], image[-1, -1])
    maps = torch.from_numpy(canvas.image[..., 0].copy())
    np.testing.assert_array_equal(canvas.restore(maps), image[..., 0])


def test_large_picture_is_shrunk_and_the_prediction_enlarged():
    image = np.zeros((400, 800, 3), np.uint8)
    image[:, 400:] = 9
    canvas = Canvas.fit(image, max_pixels=100 * 200)
    assert canvas.image.shape == (100, 200, 3)
    restored = canvas.restore(torch.from_numpy(canvas.image.copy()).permute(2, 0, 1))
    np.testing.assert_array_equal(restored, image.transpose(2, 0, 1))


@pytest.mark.parametrize('size', [(3, 20000), (20000, 3), (1, 65000), (4001, 3999)])
def test_extreme_sizes_stay_small(size):
    canvas = Canvas.fit(np.full((*size, 3), 7, np.uint8), max_pixels=2**22)
    assert canvas.image.shape[0] * canvas.image.shape[1] <= 1.01 * 2**22
    assert (canvas.image == 7).all()
    assert canvas.restore(torch.zeros(canvas.image.shape[:2])).shape == size


def test_restore__refuses_another_size():
    with pytest.raises(ValueError, match='ori_shape'):
        Canvas.fit(np.zeros((4, 5, 3), np.uint8), 100).restore(torch.zeros(5, 4))

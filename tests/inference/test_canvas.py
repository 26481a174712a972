from __future__ import annotations

import numpy as np
import pytest
import torch

from densevit.inference.canvas import MAX_ASPECT_RATIO, Canvas


def test_usual_picture_is_its_own_canvas():
    for size in ((1, 1), (30, 50), (2, 64), (64, 2)):
        image = np.zeros((*size, 3), np.uint8)
        canvas = Canvas.fit(image, max_pixels=10_000)
        assert canvas.image is image and not canvas.is_shrunk
        maps = torch.arange(image[..., 0].size).reshape(size)
        assert torch.equal(canvas.restore(maps), maps)


def test_elongated_picture_is_padded_with_its_edge():
    for size in ((3, 200), (200, 3), (1, 100)):
        image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
        for max_pixels in (10_000, None):
            canvas = Canvas.fit(image, max_pixels)
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
    assert canvas.image.shape == (100, 200, 3) and canvas.is_shrunk
    maps = torch.from_numpy(canvas.image.copy()).permute(2, 0, 1)
    np.testing.assert_array_equal(canvas.restore(maps), image.transpose(2, 0, 1))
    assert Canvas.fit(image, max_pixels=None).image is image  # each pixel is wanted


@pytest.mark.parametrize('bands', [(), (3, )])
def test_sixteen_bits_are_shrunk_to_their_means(bands):
    image = np.random.default_rng(0).integers(0, 65536, (40, 60, *bands)).astype(np.uint16)
    canvas = Canvas.fit(image, max_pixels=20 * 30)
    assert canvas.image.dtype == np.uint16
    means = image.reshape(20, 2, 30, 2, *bands).mean((1, 3))
    assert np.abs(canvas.image - means).max() <= .5


def test_restore__bilinear_as_the_canvas_was_resized():
    """A ramp stays a ramp: depth and alpha have no steps of the size of the canvas's pixels."""
    canvas = Canvas.fit(np.zeros((40, 3000, 3), np.uint8), max_pixels=2**17)
    rows, columns = canvas.content
    ramp = ((torch.arange(canvas.image.shape[1]) + .5) * 3000 / columns).expand(1, canvas.image.shape[0], -1)
    restored = canvas.restore(ramp, 'bilinear')
    assert restored.shape == (1, 40, 3000) and rows < 40
    inner = restored[0, 20, 10:-10] - (torch.arange(3000.) + .5)[10:-10]
    assert inner.abs().max() < .01
    assert canvas.restore(ramp).unique().numel() == columns  # nearest neighbours


def test_restore__maps_with_several_pixels_for_one():
    canvas = Canvas.fit(np.zeros((2, 100, 3), np.uint8), max_pixels=None)
    assert canvas.restore(torch.zeros(3, 4 * canvas.image.shape[0], 400), scale=4).shape == (3, 8, 400)


def test_restore_boxes():
    canvas = Canvas.fit(np.zeros((400, 800, 3), np.uint8), max_pixels=100 * 200)
    boxes = torch.tensor([[1., 2., 30., 40.], [-5., 90., 250., 120.]])
    assert canvas.restore_boxes(boxes).tolist() == [[4, 8, 120, 160], [0, 360, 800, 400]]
    assert canvas.restore_boxes(boxes[:0]).shape == (0, 4)


def test_extreme_sizes_stay_small():
    for size in ((3, 20000), (20000, 3), (1, 65000), (4001, 3999)):
        canvas = Canvas.fit(np.full((*size, 3), 7, np.uint8), max_pixels=2**22)
        assert canvas.image.shape[0] * canvas.image.shape[1] <= 1.01 * 2**22
        assert (canvas.image == 7).all()
        assert canvas.restore(torch.zeros(canvas.image.shape[:2])).shape == size


def test_restore__refuses_another_size():
    with pytest.raises(ValueError, match='ori_shape'):
        Canvas.fit(np.zeros((4, 5, 3), np.uint8), 100).restore(torch.zeros(5, 4))

"""Degradations of the second order: sizes, seeds, kernels."""
import math

import numpy as np
import pytest

from densevit.datasets import GaussianBlur, SecondOrderDegradation
from densevit.datasets.restoration.real_world import (
    FIRST,
    blur_kernel,
    filtered,
    gaussian_kernel,
    last_kernel,
    noisy,
    sinc_kernel,
)


@pytest.fixture
def image():
    rows = np.linspace(0, 255, 66)
    return np.stack([np.tile(rows, (50, 1)), np.tile(rows[::-1], (50, 1)), np.full((50, 66), 90.)], -1).astype(np.uint8)


@pytest.mark.parametrize('scale', (1, 2, 4))
def test_size_type_and_seed(image, scale):
    degrade = SecondOrderDegradation(scale)
    found = [degrade(image, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3, 4, 5)]
    assert all(each.shape == (50 // scale, 66 // scale, 3) and each.dtype == np.uint8 for each in found)
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    # What a picture shows stays: dark at the left in the first channel, and at the right in the second.
    means = np.mean(found, 0)
    assert means[:, :3, 0].mean() < 90 < means[:, -3:, 0].mean() and means[:, :3, 1].mean() > 90


def test_grey_images(image):
    assert SecondOrderDegradation(2)(image[..., 0], np.random.default_rng(0)).shape == (25, 33)


def test_kernels_sum_to_one_and_are_symmetric():
    random = np.random.default_rng(0)
    for _ in range(60):
        for kernel in (blur_kernel((.2, 3.), random), last_kernel(random)):
            assert kernel.sum() == pytest.approx(1) and np.allclose(kernel, kernel[::-1, ::-1])
    turned = gaussian_kernel(21, 4., 1., math.pi / 2)
    np.testing.assert_allclose(turned, gaussian_kernel(21, 1., 4., 0.), atol=1e-12)
    values = np.exp(-np.arange(-3, 4)**2 / 2.)
    np.testing.assert_allclose(gaussian_kernel(7, 1., 1., 0.), np.outer(values, values) / values.sum()**2)


def test_a_sinc_filter_rings():
    """An edge overshoots on both sides."""
    edge = np.full((40, 40), .3, np.float32)
    edge[:, 20:] = .7
    found = filtered(edge, sinc_kernel(21, math.pi / 3))
    assert found.max() > .71 and found.min() < .29


def test_noise_of_all_kinds():
    image = np.linspace(.3, .7, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
    kinds = set()
    for seed in range(20):
        noise = noisy(image, FIRST, np.random.default_rng(seed)) - image
        assert 0 < noise.std() < .3 and abs(noise.mean()) < .02
        kinds.add(bool(np.ptp(noise, axis=2).max() < 1e-5))
    assert kinds == {True, False}  # grey and coloured


def test_blur(image):
    assert np.array_equal(GaussianBlur(.01)(image, np.random.default_rng(0)), image)
    blurred = GaussianBlur((2., 3.))(image, np.random.default_rng(0))
    assert blurred.dtype == np.uint8 and np.diff(blurred[:, :, 0].astype(int), axis=1).max() <= 8

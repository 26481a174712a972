"""Degradations of the second order: sizes, seeds, kernels."""
import math

import numpy as np
import pytest

from densevit.datasets import GaussianBlur, SecondOrderDegradation
from densevit.datasets.restoration import real_world
from densevit.datasets.restoration.real_world import (
    FIRST,
    SECOND,
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


def test_rounds_are_those_of_real_esrgan():
    """Of options/train_realesrgan_x4plus.yml of its authors, which their paper's supplement tells as well."""
    assert FIRST._asdict() == dict(
        blur_share=1., sigma=(.2, 3.), directions=(.2, .7, .1), resize=(.15, 1.5), noise=(1., 30.), poisson=(.05, 3.),
        quality=(30., 95.))
    assert SECOND._asdict() == dict(
        blur_share=.8, sigma=(.2, 1.5), directions=(.3, .4, .3), resize=(.3, 1.2), noise=(1., 25.), poisson=(.05, 2.5),
        quality=(30., 95.))
    assert SecondOrderDegradation(4).orders == [FIRST, SECOND]


def test_shares_of_kernels_are_those_of_real_esrgan(monkeypatch):
    """How often kernels ring, have which shape and which exponent; a last kernel rings in four of five."""
    random, count = np.random.default_rng(0), 6000
    drawn = []

    def gaussian(size, sigma_x, sigma_y, angle, shape='gaussian', beta=1.):
        drawn.append((size, shape, sigma_x == sigma_y and angle == 0, sigma_x, sigma_y, angle, beta))
        return gaussian_kernel(size, sigma_x, sigma_y, angle, shape, beta)

    monkeypatch.setattr(real_world, 'gaussian_kernel', gaussian)
    ringing = sum(bool(blur_kernel(FIRST.sigma, random).min() < 0) for _ in range(count))
    assert len(drawn) / count == pytest.approx(.9, abs=.015) and ringing <= count - len(drawn)
    shares = {('gaussian', True): .45, ('gaussian', False): .25, ('generalised', True): .12,
              ('generalised', False): .03, ('plateau', True): .12, ('plateau', False): .03}
    for kind, share in shares.items():
        assert sum(each[1:3] == kind for each in drawn) / len(drawn) == pytest.approx(share, abs=.02), kind
    assert {each[0] for each in drawn} == {7, 9, 11, 13, 15, 17, 19, 21}
    for index, low, high in ((3, .2, 3.), (4, .2, 3.)):
        values = [each[index] for each in drawn]
        assert low <= min(values) < low + .05 and high - .05 < max(values) <= high
    turned = [each[5] for each in drawn if not each[2]]
    assert -math.pi <= min(turned) < -3 and 3 < max(turned) <= math.pi
    for shape, low, high in (('generalised', .5, 4.), ('plateau', 1., 2.)):
        betas = np.array([each[6] for each in drawn if each[1] == shape])
        assert low <= betas.min() < low + .05 and high - .1 < betas.max() <= high
        assert (betas <= 1).mean() == pytest.approx(.5, abs=.06)
    still = sum(np.count_nonzero(last_kernel(random)) == 1 for _ in range(3000)) / 3000
    assert still == pytest.approx(.2, abs=.025)


def test_cut_off_frequencies_of_sinc_kernels(monkeypatch):
    """Between a third of pi, a fifth for large kernels, and pi; behind all, a third for any size."""
    drawn = []
    monkeypatch.setattr(real_world, 'sinc_kernel', lambda *given: drawn.append(given) or sinc_kernel(*given))
    monkeypatch.setattr(real_world, '_SINC_SHARE', 1.)
    random = np.random.default_rng(0)
    for draw, large in ((lambda: blur_kernel((.2, 3.), random), 5), (lambda: last_kernel(random), 3)):
        drawn.clear()
        for _ in range(3000):
            draw()
        for low, sizes in ((math.pi / 3, (7, 9, 11)), (math.pi / large, (13, 15, 17, 19, 21))):
            cutoffs = [cutoff for size, cutoff in drawn if size in sizes]
            assert low <= min(cutoffs) < low + .03 and math.pi - .03 < max(cutoffs) <= math.pi


@pytest.mark.parametrize(('order', 'largest'), [(FIRST, 30), (SECOND, 25)])
def test_gaussian_noise_is_drawn_evenly_from_one_level_on(order, largest):
    """On the scale of 8 bits, in half of the images and grey in two of five of them."""
    image, random = np.full((40, 40, 3), .5, np.float32), np.random.default_rng(0)
    # Poisson noise of no strength leaves the image as it was.
    noise = [noisy(image, order._replace(poisson=(0., 0.)), random) - image for _ in range(600)]
    levels = np.array([255 * each.std() for each in noise if each.any()])
    assert len(levels) / 600 == pytest.approx(.5, abs=.06)
    assert .8 < levels.min() < 2 and .93 * largest < levels.max() < 1.07 * largest
    assert levels.mean() == pytest.approx((1 + largest) / 2, rel=.1)
    grey = [np.ptp(each, axis=2).max() < 1e-6 for each in noise if each.any()]
    assert np.mean(grey) == pytest.approx(.4, abs=.09)


def test_resizing_goes_up_down_and_nowhere_as_often_as_told():
    image, random = np.zeros((100, 100, 3), np.float32), np.random.default_rng(0)
    for order, up, down in ((FIRST, .2, .7), (SECOND, .3, .4)):
        sides = np.array([real_world._resized(image, order, None, random).shape[0] for _ in range(1500)])
        # Factors near 1 give 100 pixels as well.
        assert (sides > 100).mean() == pytest.approx(up, abs=.04)
        assert (sides < 100).mean() == pytest.approx(down, abs=.05)
        assert 100 * order.resize[0] <= sides.min() + 1 < 100 * order.resize[0] + 4
        assert 100 * order.resize[1] - 4 < sides.max() <= 100 * order.resize[1]


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

"""Synthetic rain: types, seeds, and the streaks themselves."""
import math

import numpy as np
import pytest
from PIL import Image

from densevit.datasets import Degrade, LoadPair, SyntheticRain
from densevit.datasets.restoration.degradations import streak_kernel

FIXED = dict(density=.002, length=30., width=2., angle=30., spread=0., brightness=.8, layers=1)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize('shape', [(40, 61, 3), (40, 61)])
def test_the_same_rain_on_images_of_every_type(shape):
    eight = rng().integers(0, 256, shape).astype(np.uint8)
    images = eight, eight.astype(np.uint16) * 257, eight.astype(np.float32) / 255
    found = [SyntheticRain()(image, rng(3)) for image in images]
    assert [each.dtype for each in found] == [np.uint8, np.uint16, np.float32] and found[0].shape == shape
    np.testing.assert_allclose(found[0] / 255, found[2], atol=.5 / 255 + 1e-6)
    np.testing.assert_allclose(found[1] / 65535, found[2], atol=.5 / 65535 + 1e-6)
    assert (found[2] >= images[2] - 1e-6).all() and found[2].max() <= 1 + 1e-6
    assert np.array_equal(SyntheticRain()(eight, rng(3)), found[0])
    assert not np.array_equal(SyntheticRain()(eight, rng(4)), found[0])


def test_blends():
    """Of white nothing is left to brighten; of grey, a share or all."""
    image = np.full((64, 64, 3), .5, np.float32)
    image[:, :8] = 1
    rain = SyntheticRain(**FIXED).streaks((64, 64), rng())[..., None]
    assert rain.max() > .3
    screen, add = (SyntheticRain(**FIXED, blend=blend)(image, rng()) for blend in ('screen', 'add'))
    np.testing.assert_allclose(screen, 1 - (1 - image) * (1 - rain), atol=1e-6)
    np.testing.assert_allclose(add, np.minimum(1, image + rain), atol=1e-6)
    with pytest.raises(ValueError, match="'screen' or 'add'"):
        SyntheticRain(blend='burn')


@pytest.mark.parametrize('angle', (-60., 0., 30., 90.))
def test_a_streak_has_its_length_width_and_direction(angle):
    kernel = streak_kernel(40., 3., angle)
    assert kernel.max() == 1 and np.allclose(kernel, kernel[::-1, ::-1])
    y, x = np.mgrid[:len(kernel), :len(kernel)] - len(kernel) // 2
    moments = [np.average(a * b, weights=kernel) for a, b in ((x, x), (x, y), (y, y))]
    (across, along), axes = np.linalg.eigh([[moments[0], moments[1]], [moments[1], moments[2]]])
    assert along == pytest.approx(40**2 / 12, rel=.03)  # of a line
    assert across == pytest.approx(3**2 / (8 * math.log(2)), rel=.03)  # of a Gaussian of that width at half its height
    leaning = math.degrees(math.atan2(axes[0, 1], -axes[1, 1]))  # to the right, of upwards
    assert (leaning - angle + 90) % 180 - 90 == pytest.approx(0, abs=.5)


def test_amounts():
    """As much light as drops, kernels and brightness say, also at the borders; no rain without layers."""
    options = dict(FIXED, density=.01, brightness=.1, angle=10.)
    rain = np.mean([SyntheticRain(**options).streaks((80, 120), rng(seed)) for seed in range(30)], 0)
    expected = .01 * .075 * streak_kernel(30., 2., 10.).sum()
    assert rain.mean() == pytest.approx(expected, rel=.05)
    for border in (rain[:6], rain[-6:], rain[:, :6], rain[:, -6:]):
        assert border.mean() == pytest.approx(expected, rel=.2)
    two = [SyntheticRain(**dict(options, layers=2)).streaks((80, 120), rng(seed)).mean() for seed in range(30)]
    assert np.mean(two) == pytest.approx(2 * expected, rel=.05)
    assert not SyntheticRain(layers=0).streaks((20, 20), rng()).any()


def test_kinds_differ_from_image_to_image():
    rain = [SyntheticRain().streaks((60, 60), rng(seed)) for seed in range(12)]
    means = [each.mean() for each in rain]
    assert max(means) > 5 * min(means)


def test_true_images_alone_get_rain_that_follows_from_their_names(tmp_path):
    image = rng().integers(0, 200, (50, 70, 3)).astype(np.uint8)

    def rainy(name, **options):
        Image.fromarray(image).save(tmp_path / name)
        info = dict(img_path=str(tmp_path / name), gt_path=str(tmp_path / name))
        results = Degrade([dict(type='densevit.SyntheticRain')], **options)(LoadPair()(info))
        assert np.array_equal(results['gt_img'][..., ::-1], image)
        return results['img']

    first = rainy('a.png', seed=0)
    assert (first > image[..., ::-1]).any() and np.array_equal(rainy('a.png', seed=0), first)
    assert not np.array_equal(rainy('b.png', seed=0), first)

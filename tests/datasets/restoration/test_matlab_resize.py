"""MATLAB's bicubic: the low-resolution images that papers start from, bit for bit, and their figures for bicubic."""
import numpy as np
import pytest
from PIL import Image

from densevit.datasets.restoration.matlab_resize import matlab_resize
from densevit.evaluation import psnr, ssim

SETS = (('Set5', 2), ('Set5', 4), ('Set14', 4))


def pairs(shared_data, name, scale):
    folder = shared_data / 'sr_test' / name / f'x{scale}'
    for file in sorted((folder / 'HR').iterdir()):
        yield np.array(Image.open(file)), np.array(Image.open(folder / 'LR' / file.name))


@pytest.mark.parametrize('name, scale', SETS)
def test_published_low_resolution_images_to_the_bit(shared_data, name, scale):
    """Made by an old MATLAB, which repeated the edge."""
    for high, low in pairs(shared_data, name, scale):
        assert np.array_equal(matlab_resize(high, 1 / scale, 'replicate'), low)


@pytest.mark.parametrize('name, scale, figures', [('Set5', 4, (28.42, .8101)), ('Set14', 4, (25.99, .7023)),
                                                  ('Set5', 2, (33.64, .9292))])
def test_published_figures_of_bicubic(shared_data, name, scale, figures):
    """SelfExSR's tables, with rounded luma."""
    protocol = dict(crop_border=scale, y_channel=True, round_y=True)
    found = [[compare(matlab_resize(low, scale, 'replicate'), high, **protocol) for compare in (psnr, ssim)]
             for high, low in pairs(shared_data, name, scale)]
    np.testing.assert_array_less(abs(np.mean(found, axis=0) - figures), [5e-3, 5e-5])


def definition(line, scale, mirrored):
    """The sum of the definition in plain Python, for one line and without rounding."""
    stretch, length, values = min(scale, 1), len(line), []
    for new in range(int(np.ceil(length * scale))):
        centre, total, weights = (new + .5) / scale - .5, 0., 0.
        for old in range(int(centre - 2 / stretch) - 3, int(centre + 2 / stretch) + 4):
            x = abs(stretch * (centre - old))
            weight = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0
            inside = min(max(old, 0), length - 1)
            if mirrored:
                inside = -1 - old if old < 0 else 2 * length - 1 - old if old >= length else old
            total, weights = total + weight * line[inside], weights + weight
        values.append(total / weights)
    return values


@pytest.mark.parametrize('border', ('symmetric', 'replicate'))
@pytest.mark.parametrize('scale', (1 / 2, 1 / 3, 1 / 4, .7, 1, 1.5, 2, 3))
def test_equals_the_definition_in_both_axes(border, scale):
    image = np.random.default_rng(0).random((23, 31))
    rows = np.array([definition(line, scale, border == 'symmetric') for line in image.T]).T
    expected = np.array([definition(line, scale, border == 'symmetric') for line in rows])
    np.testing.assert_allclose(matlab_resize(image, scale, border), expected, atol=1e-12)


def test_types_and_channels_stay():
    image = np.random.default_rng(0).integers(0, 65536, (12, 18, 3)).astype(np.uint16)
    small = matlab_resize(image, 1 / 3)
    assert small.dtype == np.uint16 and small.shape == (4, 6, 3)
    assert np.array_equal(small[..., 1], matlab_resize(image[..., 1], 1 / 3))
    assert np.array_equal(matlab_resize(image, 1), image)
    with pytest.raises(ValueError, match='scale'):
        matlab_resize(image, 0)
    with pytest.raises(ValueError, match='border'):
        matlab_resize(image, .5, 'wrap')

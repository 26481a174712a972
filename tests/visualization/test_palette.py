from __future__ import annotations

import numpy as np
import pytest

from densevit.visualization.palette import (
    default_palette,
    oklab,
    relative_luminance,
    shades,
    simulate_dichromacy,
    text_color,
)


def smallest_distance(colors: np.ndarray) -> float:
    lab = oklab(colors)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return distances.min()


def test_default_palette__distinct_bytes():
    for count in (0, 1, 6, 7, 150, 1203):
        palette = default_palette(count)
        assert len(palette) == len(set(palette)) == count
        assert all(0 <= value <= 255 and type(value) is int for color in palette for value in color)
    for count in (-1, 10_001):
        with pytest.raises(ValueError, match='num_classes'):
            default_palette(count)


def test_default_palette__longer_begins_with_shorter():
    assert default_palette(150)[:19] == default_palette(19)
    assert default_palette(19)[:4] == default_palette(4)


@pytest.mark.parametrize(('count', 'apart'), [(19, 0.07), (40, 0.04), (150, 0.015)])
def test_default_palette__apart_for_every_eye(count, apart):
    """A just noticeable difference is about 0.02 in Oklab; random RGB colours reach 0.01 at 19 classes."""
    colors = np.array(default_palette(count))
    assert smallest_distance(colors) > apart
    for kind in ('protanopia', 'deuteranopia'):
        assert smallest_distance(simulate_dichromacy(colors, kind)) > apart


@pytest.mark.parametrize('color', [(220, 20, 60), (240, 228, 66), (0, 0, 0)])
def test_shades__near_the_colour_and_apart_for_every_eye(color):
    found = shades(color, 6)
    assert found[0] == color and len(set(found)) == 6 and found[:3] == shades(color, 3)
    colors = np.array(found)
    assert smallest_distance(colors) > 0.04
    for kind in ('protanopia', 'deuteranopia'):
        assert smallest_distance(simulate_dichromacy(colors, kind)) > 0.04
    if color != (0, 0, 0):  # nothing near black is bright enough
        assert np.linalg.norm(oklab(colors) - oklab(np.array(color)), axis=-1).max() < 0.3


def test_default_palette__neither_black_nor_white():
    lightness = oklab(np.array(default_palette(150)))[:, 0]
    assert lightness.min() > 0.4 and lightness.max() < 0.95


def test_oklab__reference_values():
    """From the table in Ottosson's article and its definition: white is (1, 0, 0), pure red (0.628, 0.225, 0.126)."""
    np.testing.assert_allclose(oklab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]])),
                               [[1, 0, 0], [0, 0, 0], [0.628, 0.225, 0.126]], atol=1e-3)


def test_simulate_dichromacy__keeps_grey_and_merges_red_with_green():
    grey = np.array([128, 128, 128])
    red, green = np.array([190, 60, 60]), np.array([100, 105, 60])
    for kind in ('protanopia', 'deuteranopia'):
        np.testing.assert_allclose(simulate_dichromacy(grey, kind), grey, atol=1)
        before, after = (np.ptp(oklab(np.array(pair))[:, 1]) for pair in
                         ((red, green), (simulate_dichromacy(red, kind), simulate_dichromacy(green, kind))))
        assert after < 0.3 * before


def test_text_color():
    assert text_color((255, 255, 0)) == (0, 0, 0) and text_color((0, 0, 128)) == (255, 255, 255)
    for color in default_palette(150):
        ink, ground = sorted((relative_luminance(text_color(color)), relative_luminance(color)))
        assert (ground + 0.05) / (ink + 0.05) >= 4.5  # WCAG 2, level AA

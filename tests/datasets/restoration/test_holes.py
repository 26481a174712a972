"""Holes: their share, what they follow from, and that the rest of the image is as it was."""
import cv2
import numpy as np
import pytest
from PIL import Image

from densevit.datasets import Holes, LoadPair, PackPair


@pytest.fixture
def loaded(tmp_path):
    def load(name='a.png'):
        image = np.random.default_rng(0).integers(1, 256, (90, 130, 3)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / name)
        return LoadPair()(dict(img_path=str(tmp_path / name), gt_path=str(tmp_path / name)))
    return load


def draw(seed=0, size=(200, 300), **options):
    return Holes(**options).draw(size, np.random.default_rng(seed))


@pytest.mark.parametrize('rectangles', (0., .3, 1.))
def test_share(rectangles):
    """Within the range, which is used; never more than its larger end, also of small images."""
    shares = [draw(seed, rectangles=rectangles).mean() for seed in range(40)]
    assert .08 < min(shares) < .16 and .34 < max(shares) <= .4
    fixed = [draw(seed, share=.2, rectangles=rectangles).mean() for seed in range(10)]
    assert min(fixed) > .15 and max(fixed) <= .2
    assert all(draw(seed, (16, 9), rectangles=rectangles).mean() <= .4 for seed in range(10))
    assert not draw(size=(1, 1)).any()


def test_strokes_are_as_wide_as_asked():
    """A pixel of a stroke has a disc of its width around some pixel of it."""
    mask = draw(share=.2, width=(12, 20), rectangles=0.)
    opened = cv2.morphologyEx(np.pad(mask.astype(np.uint8), 30, mode='edge'), cv2.MORPH_OPEN, cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (9, 9)))[30:-30, 30:-30]
    assert opened.sum() > .97 * mask.sum()
    thin = draw(share=.05, width=3, rectangles=0.)
    assert cv2.distanceTransform(thin.astype(np.uint8), cv2.DIST_L2, 5).max() < 4.5


def test_holes_follow_from_the_seed_and_the_name(loaded):
    first, again, other = (Holes(seed=0)(loaded(name))['mask'] for name in ('a.png', 'a.png', 'b.png'))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not np.array_equal(Holes(seed=1)(loaded())['mask'], first)
    np.random.seed(3)
    drawn = Holes()(loaded())['mask']
    np.random.seed(3)
    assert np.array_equal(Holes()(loaded())['mask'], drawn)
    assert not np.array_equal(Holes()(loaded())['mask'], drawn)


@pytest.mark.parametrize('kind', (np.uint8, np.uint16, np.float32))
def test_hidden_pixels_are_zero_and_others_as_they_were(loaded, kind):
    results = loaded()
    results['img'] = results['gt_img'] = results['gt_img'].astype(kind)
    true = results['gt_img'].copy()
    results = Holes(seed=0)(results)
    mask = results['mask']
    assert results['img'].dtype == kind and not results['img'][mask].any()
    assert np.array_equal(results['img'][~mask], true[~mask]) and np.array_equal(results['gt_img'], true)
    packed = PackPair()(results)['data_samples']
    assert packed.mask.shape == (1, 90, 130) and packed.mask.sum() == mask.sum()


def test_grey_images_and_pictures_of_predict():
    grey = np.full((60, 50), 9, np.uint8)
    results = Holes(seed=0)(dict(img=grey, gt_img=grey, gt_path='a.png'))
    assert results['img'].shape == (60, 50) and not results['img'][results['mask']].any()
    assert 'mask' not in Holes()(dict(img=grey))


def test_numbers_without_sense():
    for wrong in (dict(share=0), dict(share=(0, .5)), dict(share=(.2, 1.)), dict(rectangles=1.5), dict(share=(.4, .1)),
                  dict(width=(32, 8)), dict(bends=-2), dict(share=(.1, .2, .3))):
        with pytest.raises(ValueError, match='of Holes'):
            Holes(**wrong)

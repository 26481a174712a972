"""Pairs of images through the pipeline, and what makes images worse."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from densevit.datasets import (
    BicubicDown,
    Degrade,
    FlipAndTurn,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    LoadPair,
    MaskPixels,
    OneOf,
    PackPair,
    PairedCrop,
    RestorationDataset,
    SyntheticRain,
)
from densevit.datasets.restoration.matlab_resize import matlab_resize


@pytest.fixture
def true(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (41, 62, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / 'a.png')
    return dict(img_path=str(tmp_path / 'a.png'), gt_path=str(tmp_path / 'a.png')), image


def through(results, *transforms):
    for transform in transforms:
        results = transform(results)
    return results


def test_a_true_image_is_degraded_and_packed(true):
    info, image = true
    degrade = Degrade([dict(type='densevit.BicubicDown', scale=4)], scale=4, seed=0)
    packed = through(info, LoadPair(), degrade, PackPair())
    sample = packed['data_samples']
    np.testing.assert_array_equal(sample.gt_img.permute(1, 2, 0).numpy(), image[:40, :60])
    np.testing.assert_array_equal(packed['inputs'].permute(1, 2, 0).numpy(), matlab_resize(image[:40, :60], 1 / 4))
    assert sample.img_shape == (10, 15)


def test_a_pair_is_left_as_it_is(true, tmp_path):
    info, image = true
    small = matlab_resize(image[:40, :60], 1 / 2)
    Image.fromarray(image[:40, :60]).save(tmp_path / 'a.png')
    Image.fromarray(small).save(tmp_path / 'low.png')
    info['img_path'] = str(tmp_path / 'low.png')
    packed = through(info, LoadPair(), Degrade([dict(type='densevit.GaussianNoise', sigma=50)], seed=0), PackPair())
    np.testing.assert_array_equal(packed['inputs'].permute(1, 2, 0).numpy(), small)
    Image.fromarray(small[1:]).save(tmp_path / 'low.png')
    with pytest.raises(ValueError, match='whole number of times'):
        LoadPair()(info)


def test_crops_and_turns_keep_pairs_together():
    """Each pixel of the small image is the mean of four, in the pixels that it stands for."""
    large = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.float32)
    small = large.reshape(20, 2, 30, 2, 3).mean((1, 3))
    for seed in range(12):
        np.random.seed(seed)
        found = through(dict(gt_img=large, img=small), PairedCrop(16), FlipAndTurn(), PairedCrop(12, 'center'))
        assert found['gt_img'].shape == (12, 12, 3) and found['img_shape'] == (6, 6)
        np.testing.assert_allclose(found['gt_img'].reshape(6, 2, 6, 2, 3).mean((1, 3)), found['img'], rtol=1e-5)
    tiny = through(dict(gt_img=large[:10], img=small[:5]), PairedCrop(16))  # is mirrored
    np.testing.assert_allclose(tiny['gt_img'].reshape(8, 2, 8, 2, 3).mean((1, 3)), tiny['img'], rtol=1e-5)
    with pytest.raises(ValueError, match='multiple of the scale'):
        PairedCrop(15)(dict(gt_img=large, img=small))


def test_noise_follows_from_the_seed_and_the_name(true, tmp_path):
    info, image = true
    Image.fromarray(image).save(tmp_path / 'b.png')
    steps = [dict(type='densevit.GaussianNoise', sigma=25)]

    def noise(name, **options):
        paths = dict(img_path=str(tmp_path / name), gt_path=str(tmp_path / name))
        results = through(paths, LoadPair(), Degrade(steps, **options))
        return results['img'] - results['gt_img'].astype(np.float32) / 255

    first = noise('a.png', seed=0)
    assert first.std() * 255 == pytest.approx(25, rel=.05)
    assert np.array_equal(noise('a.png', seed=0), first)
    assert not np.array_equal(noise('b.png', seed=0), first) and not np.array_equal(noise('a.png', seed=1), first)
    np.random.seed(3)
    drawn = noise('a.png')
    np.random.seed(3)
    assert np.array_equal(noise('a.png'), drawn) and not np.array_equal(noise('a.png'), drawn)


def test_jpeg_is_pillows_of_rgb():
    rgb = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)

    file = BytesIO()
    Image.fromarray(rgb).save(file, 'JPEG', quality=30)
    expected = np.asarray(Image.open(file))
    found = JPEGCompression(30)(rgb[..., ::-1], np.random.default_rng(0))
    np.testing.assert_array_equal(found[..., ::-1], expected)
    grey = JPEGCompression((10, 20))(rgb[..., 0], np.random.default_rng(0))
    assert grey.shape == (32, 40) and grey.dtype == np.uint8


def test_degradations_follow_each_other():
    """Noise of a fraction of a level stays until JPEG rounds it."""
    generator, image = np.random.default_rng(0), np.full((16, 16, 3), 100, np.uint8)
    noisy = GaussianNoise(10)(BicubicDown(2)(image, generator), generator)
    assert noisy.dtype == np.float32 and noisy.shape == (8, 8, 3)
    assert JPEGCompression(90)(noisy, generator).dtype == np.uint8
    packed = PackPair()(dict(img=noisy, gt_img=image))
    assert packed['inputs'].dtype == torch.float32


@pytest.mark.parametrize('patch', (1, 4))
def test_pixels_are_hidden_by_a_seed(true, patch):
    """The share is exact, hidden pixels are 0 and all others and the true image as they were; predict sees all."""
    info, image = true
    load, pack = LoadPair(), PackPair()
    hidden = MaskPixels(.5, patch, seed=0)
    packed = through(dict(info), load, hidden, pack)
    mask = packed['data_samples'].mask
    assert mask.shape == (1, 41, 62) and mask.dtype == torch.bool
    cells = mask[0, ::patch, ::patch]
    assert cells.sum() == round(cells.numel() / 2)
    np.testing.assert_array_equal(mask[0], cells.repeat_interleave(patch, 0).repeat_interleave(patch, 1)[:41, :62])
    pixels = packed['inputs'].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pixels, np.where(mask[0].numpy()[..., None], 0, image))
    np.testing.assert_array_equal(packed['data_samples'].gt_img.permute(1, 2, 0).numpy(), image)
    again = through(dict(info), load, hidden, pack)['data_samples'].mask
    other = through(dict(info), load, MaskPixels(.5, patch, seed=1), pack)['data_samples'].mask
    assert torch.equal(mask, again) and not torch.equal(mask, other)
    np.random.seed(0)
    drawn = [MaskPixels(.3, patch)(load(dict(info)))['mask'] for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()
    assert 'mask' not in hidden(dict(img=image))
    with pytest.raises(ValueError, match='above 0 and below 1'):
        MaskPixels(1.)


@pytest.mark.parametrize(('kind', 'options'), [
    (GaussianNoise, dict(sigma=-1)), (GaussianNoise, dict(sigma=(25, 5))), (JPEGCompression, dict(quality=(95, 30))),
    (JPEGCompression, dict(quality=0)), (GaussianBlur, dict(sigma=0.)), (GaussianBlur, dict(sigma=(2., 1.))),
    (BicubicDown, dict(scale=0)), (SyntheticRain, dict(density=0)), (SyntheticRain, dict(layers=(3, 1))),
    (PairedCrop, dict(size=-8)), (PairedCrop, dict(size=8, margin=-1)), (MaskPixels, dict(patch_size=0))])
def test_numbers_without_sense_are_refused_when_built(kind, options):
    """And not by a worker of the data loader, or by black pictures."""
    with pytest.raises(ValueError, match=f'of {kind.__name__}'):
        kind(**options)


@pytest.mark.parametrize('scale', (1, 2))
def test_a_mask_stays_beside_its_image(true, scale):
    """Turned and cropped: what it hides is 0 in the image and nowhere else."""
    np.random.seed(0)
    steps = [LoadPair(), Degrade([dict(type='densevit.BicubicDown', scale=scale)], scale=scale) if scale > 1 else
             Degrade([]), MaskPixels(.3, 4), FlipAndTurn(), PairedCrop(16 * scale), FlipAndTurn()]
    for _ in range(8):
        results = through(dict(true[0]), *steps)
        results['img'] = results['img'].astype(int)
        assert results['mask'].shape == results['img'].shape[:2] == (16, 16)
        assert not results['img'][results['mask']].any() and results['img'][~results['mask']].any(-1).mean() > .95


def test_indices_of_numpy(tmp_path, true):
    """They have a shape, too, and not that of a batch."""
    steps = [dict(type='densevit.LoadPair'), dict(type='densevit.PairedCrop', size=16), dict(type='densevit.PackPair')]
    dataset = RestorationDataset(hq='', data_root=str(tmp_path), pipeline=steps)
    assert dataset[np.int64(0)]['inputs'].shape == (3, 16, 16)


def test_one_of_several_degradations():
    """Each is drawn about as often as others; all of its steps are done."""
    image = np.full((8, 8, 3), 128, np.uint8)
    small, noise = dict(type='densevit.BicubicDown', scale=2), dict(type='densevit.GaussianNoise', sigma=0)
    one_of, random = OneOf([[small], [small, noise], [noise]]), np.random.default_rng(0)
    kinds = [(made.shape[0], made.dtype == np.float32) for made in (one_of(image, random) for _ in range(300))]
    for kind in ((4, False), (4, True), (8, True)):
        assert 70 < kinds.count(kind) < 130
    with pytest.raises(ValueError, match='no choices'):
        OneOf([])


def test_the_kind_of_a_degradation(true):
    """The sample tells which of the choices was drawn; of a data set of one kind, that."""
    dark = [[dict(type='densevit.GaussianNoise', sigma=0)], [dict(type='densevit.BicubicDown', scale=2)]]
    info = true[0]
    degrade = Degrade([dict(type='densevit.OneOf', choices=dark)])
    np.random.seed(0)
    packed = [through(dict(info), LoadPair(), degrade, PackPair()) for _ in range(20)]
    kinds = [each['data_samples'].degradation for each in packed]
    assert set(kinds) == {0, 1}
    assert kinds == [int(each['inputs'].shape[1] < 41) for each in packed]
    assert 'degradation' not in through(dict(info), LoadPair(), PackPair())['data_samples']
    assert through(dict(info), LoadPair(), PackPair(degradation=2))['data_samples'].degradation == 2

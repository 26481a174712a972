"""PSNR, SSIM and PSNR-B against published figures on published images, and against scikit-image."""
import math
import re
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from densevit.evaluation import fidelity, lpips, psnr, psnr_b, ssim


def images(dtype=np.uint8, shape=(37, 52, 3), seed=0):
    random = np.random.default_rng(seed)
    target = random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    noise = random.normal(0, .05 * np.iinfo(dtype).max, shape)
    return (target + noise).clip(0, np.iinfo(dtype).max).round().astype(dtype), target


@pytest.mark.parametrize('dtype', (np.uint8, np.uint16))
def test_rgb_is_scikit_images(dtype):
    pred, target = images(dtype)
    inner = (slice(3, -3), slice(3, -3))
    assert psnr(pred, target, crop_border=3) == pytest.approx(
        peak_signal_noise_ratio(target[inner], pred[inner], data_range=np.iinfo(dtype).max), rel=1e-9)
    assert ssim(pred, target, crop_border=3) == pytest.approx(
        structural_similarity(target[inner].astype(float), pred[inner].astype(float), data_range=np.iinfo(dtype).max,
                              channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False), rel=1e-6)


def test_sixteen_bits_of_eight_give_the_same():
    pred, target = images()
    deep = [image.astype(np.uint16) * 257 for image in (pred, target)]
    for y_channel in (False, True):
        assert psnr(*deep, y_channel=y_channel) == pytest.approx(psnr(pred, target, y_channel=y_channel), rel=1e-9)
        assert ssim(*deep, y_channel=y_channel) == pytest.approx(ssim(pred, target, y_channel=y_channel), rel=1e-6)


def test_grey_images_are_not_rescaled():
    pred, target = images(shape=(40, 40))
    assert psnr(pred, target, y_channel=True) == psnr(pred, target) == psnr(pred[..., None], target[..., None])
    assert math.isinf(psnr(target, target)) and ssim(target, target) == pytest.approx(1)


def test_psnr_b_adds_steps_at_the_edges_of_blocks():
    """Of blocks of one value, all steps lie at edges: their mean square, weighed with log2(8) / log2(64)."""
    blocks = np.kron(np.random.default_rng(1).integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)
    target = np.full((64, 64), 128, np.uint8)
    values = blocks.astype(float)
    steps = np.concatenate([(np.diff(values, axis=0)**2)[7::8].ravel(), (np.diff(values, axis=1)**2)[:, 7::8].ravel()])
    error = np.mean((values - 128)**2) + steps.mean() * 3 / 6
    assert psnr_b(blocks, target) == pytest.approx(10 * np.log10(255**2 / error))
    smooth = np.tile(np.arange(64, dtype=np.uint8), (64, 1))  # no step is larger at the edges
    assert psnr_b(smooth, target) == pytest.approx(psnr(smooth, target))
    # Blocks begin where the image does, not where its border ends.
    inner, true = blocks[4:-4, 4:-4], target[4:-4, 4:-4]
    assert psnr_b(blocks, target, 4) < psnr(blocks, target, 4) - .1
    assert psnr_b(inner, true) == pytest.approx(psnr(inner, true))
    colour = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match='y_channel'):
        psnr_b(colour, colour, y_channel=False)


def test_what_cannot_be_compared_is_refused():
    pred, target = images()
    for wrong, said in (((pred[1:], target), 'one size'), ((pred / 255, target / 255), 'round'),
                        ((pred.astype(np.uint16), target), 'type'), ((pred[..., :2], target[..., :2]), 'shape')):
        with pytest.raises(ValueError, match=said):
            psnr(*wrong)
    with pytest.raises(ValueError, match='crop_border'):
        psnr(pred, target, crop_border=19)
    with pytest.raises(ValueError, match='11 pixels'):
        ssim(pred[:10], target[:10])


@pytest.fixture
def random_squeezenet(tmp_path, monkeypatch):
    """In PyTorch's cache in place of the ImageNet weights, as the message tells users to put those."""
    from torchvision.models import squeezenet1_1

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    fidelity._lpips_network.cache_clear()
    torch.manual_seed(0)
    (tmp_path / 'hub/checkpoints').mkdir(parents=True)
    torch.save(squeezenet1_1().state_dict(), tmp_path / 'hub/checkpoints/squeezenet1_1-b8a52dc0.pth')
    yield
    fidelity._lpips_network.cache_clear()


@pytest.mark.parametrize('oracle', ('torchmetrics', 'lpips'))
@pytest.mark.parametrize('dtype', (np.uint8, np.uint16))
def test_lpips_is_the_authors(random_squeezenet, oracle, dtype):
    package = pytest.importorskip(oracle)
    pytest.importorskip('torchmetrics')
    pred, target = images(dtype, (70, 83, 3))
    tensors = [torch.from_numpy(image[3:-3, 3:-3] / np.iinfo(dtype).max).float().permute(2, 0, 1)[None]
               for image in (pred, target)]
    if oracle == 'lpips':
        expected = package.LPIPS(net='squeeze', verbose=False)(*tensors, normalize=True)
    else:
        from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
        expected = learned_perceptual_image_patch_similarity(*tensors, 'squeeze', normalize=True)
    assert expected > .001
    assert lpips(pred, target, crop_border=3, net='squeeze') == pytest.approx(float(expected), rel=1e-4)
    assert lpips(target, target, net='squeeze') == pytest.approx(0, abs=1e-6)


def test_lpips_says_what_it_lacks(tmp_path, monkeypatch):
    pytest.importorskip('torchmetrics')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', Mock(side_effect=URLError('no network')))
    pred, target = images(shape=(40, 40, 3))
    with pytest.raises(OSError, match=f'put vgg16-397923af.pth of .* into {re.escape(str(tmp_path))}'):
        lpips(pred, target, net='vgg')
    for options, said in ((dict(crop_border=5), '32 pixels'), (dict(net='resnet'), 'choose alex')):
        with pytest.raises(ValueError, match=said):
            lpips(pred, target, **options)


def test_published_figures_of_rcan(shared_data):
    """RCAN's own pictures of Set5 x2 give its paper's figures, 38.27 and .9614."""
    folder = shared_data / 'sr_test/rcan_set5_x2'
    files = sorted((folder / 'HR').iterdir())
    assert len(files) == 5
    pairs = [(np.array(Image.open(folder / 'SR' / file.name)), np.array(Image.open(file))) for file in files]
    protocol = dict(crop_border=2, y_channel=True)
    assert np.mean([psnr(*pair, **protocol) for pair in pairs]) == pytest.approx(38.274, abs=5e-4)
    assert np.mean([ssim(*pair, **protocol) for pair in pairs]) == pytest.approx(.9614, abs=5e-5)


def test_psnr_of_some_pixels():
    """Within the border; where nothing is left to compare, that is said."""
    generator = np.random.default_rng(0)
    true = generator.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    pred, where = true.copy(), np.zeros((20, 30), bool)
    where[4:10, :15] = True
    pred[:4] ^= 64  # is not compared
    assert psnr(pred, true, where=where) == math.inf
    pred[4:10, :15] ^= 8
    assert psnr(pred, true, where=where) == pytest.approx(10 * math.log10(255**2 / 64))
    pred[4, :15] ^= 32
    assert psnr(pred, true, crop_border=5, where=where) == pytest.approx(10 * math.log10(255**2 / 64))
    with pytest.raises(ValueError, match='no pixel to compare'):
        psnr(pred, true, crop_border=9, where=where & (np.arange(20) < 6)[:, None])
    with pytest.raises(ValueError, match='one of their size'):
        psnr(pred, true, where=where[1:])

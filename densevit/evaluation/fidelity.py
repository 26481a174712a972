"""How near a restored image is to the true one: PSNR, SSIM (Wang et al., 2004), PSNR-B, LPIPS as papers have them."""
from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

if TYPE_CHECKING:
    from torch import nn

# Of R, G and B in [0, 1] to luma from 16 to 235 (ITU-R BT.601 as MATLAB's rgb2ycbcr has it).
_LUMA = np.array([65.481, 128.553, 24.966])
_BLACK = 16.
LpipsNet = Literal['alex', 'vgg', 'squeeze']
# torchvision's ImageNet weights, which LPIPS's own weights are for.
_LPIPS_FILES = dict(alex='alexnet-owt-7be5be79.pth', vgg='vgg16-397923af.pth', squeeze='squeezenet1_1-b8a52dc0.pth')
LPIPS_SIDE = 32  # pixels: less has no place in the deepest features
SSIM_WINDOW = 11  # of SSIM's Gaussian; an image is at least as large


class Protocol(NamedTuple):
    """How restored images are compared; the same prediction gives figures that differ by decibels.

    Attributes:
        crop_border: How many pixels are left out at each side.
        y_channel: Whether the luma of colour images is compared, or their RGB.
        round_y: Whether luma is rounded to integers first.
    """
    crop_border: int = 0
    y_channel: bool = False
    round_y: bool = False

    def __str__(self) -> str:
        """For the names of figures: ``'Y_border2'``, ``'RGB'``."""
        channels = ('rounded_Y' if self.round_y else 'Y') if self.y_channel else 'RGB'
        return f'{channels}_border{self.crop_border}' if self.crop_border else channels


def psnr(
    pred: np.ndarray,
    target: np.ndarray,
    crop_border: int = 0,
    y_channel: bool = False,
    round_y: bool = False,
    where: np.ndarray | None = None,
) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the two are equal.

    Papers on super-resolution report it on Y, without a border of as many pixels as the scale; those on colour
    denoising on RGB without a crop. Predictions are to be clipped and rounded to integers before, as they are when they
    are written to a file.

    Args:
        pred: (H, W), (H, W, 1) or (H, W, 3) in RGB order, uint8 or uint16.
        target: The same of the true image.
        crop_border: How many pixels to leave out at each side.
        y_channel: Whether to compare the luma of colour images alone, from 16 to 235 on the scale of 8 bits (ITU-R
            BT.601, MATLAB's ``rgb2ycbcr``). Grey images are compared as they are.
        round_y: Whether to round luma to integers, as MATLAB does for uint8 images and papers of about 2014 to 2016 and
            on deraining did; it changes the figure by up to 0.1 dB.
        where: (H, W) bool, the pixels that are compared, as those of holes that were filled; all if None.

    Raises:
        ValueError: Shapes or types differ, are not of the above, or nothing is left within the border or to compare.
    """
    if where is not None and where.shape != pred.shape[:2]:
        raise ValueError(f'where is of {where.shape} and the images of {pred.shape[:2]} pixels: give one of their size')
    pred, target, peak = _prepared(pred, target, Protocol(crop_border, y_channel, round_y))
    error = np.square(pred - target)
    if where is not None:
        error = error[where[crop_border:where.shape[0] - crop_border, crop_border:where.shape[1] - crop_border]]
        if not error.size:
            raise ValueError('where has no pixel to compare: give one that is True somewhere within the border')
    return _decibels(np.mean(error), peak)


def ssim(
    pred: np.ndarray,
    target: np.ndarray,
    crop_border: int = 0,
    y_channel: bool = False,
    round_y: bool = False,
) -> float:
    """Structural similarity, at most 1, of Gaussian windows of 11 pixels and deviation 1.5 that lie within the image.

    That is the authors' form, which scikit-image computes with these settings; its defaults, torchmetrics and padded
    windows give other figures. Of colour images that are compared as RGB, the mean over the channels.

    Args:
        pred, target, crop_border, y_channel, round_y: As in :func:`psnr`.

    Raises:
        ValueError: As in :func:`psnr`, or a side within the border has fewer than 11 pixels.
    """
    from skimage.metrics import structural_similarity  # half a second that other metrics need not wait for

    pred, target, peak = _prepared(pred, target, Protocol(crop_border, y_channel, round_y))
    if min(pred.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f'SSIM needs {SSIM_WINDOW} pixels within the border: there are '
                         f'{pred.shape[1]}x{pred.shape[0]}')
    return float(structural_similarity(pred, target, data_range=peak, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                       use_sample_covariance=False))


def psnr_b(
    pred: np.ndarray,
    target: np.ndarray,
    crop_border: int = 0,
    y_channel: bool = True,
    block: int = 8,
) -> float:
    """PSNR-B (Yim and Bovik, Quality Assessment of Deblocked Images, 2011, equations 8 to 13) in dB.

    To the mean squared error it adds by how much steps across the edges of blocks of the prediction are larger than
    others. It is a measure of one channel: of colour images, luma is taken.

    Args:
        pred, target, crop_border: As in :func:`psnr`.
        y_channel: Must be True for colour images.
        block: The size of the blocks; 8 in JPEG.

    Raises:
        ValueError: As in :func:`psnr`, or colour images are to be compared as RGB.
    """
    pred, target, peak = _prepared(pred, target, Protocol(crop_border, y_channel))
    if pred.shape[-1] != 1:
        raise ValueError('PSNR-B compares one channel: set y_channel=True for colour images')
    error = np.mean(np.square(pred - target))
    return _decibels(error + _blocking_effect(pred[..., 0], block, crop_border), peak)


def lpips(pred: np.ndarray, target: np.ndarray, crop_border: int = 0, net: LpipsNet = 'alex') -> float:
    """LPIPS (Zhang et al., arXiv:1801.03924), version 0.1: how differently a network sees two images; 0 where equal.

    It is computed by torchmetrics, an optional package, and compares RGB; grey images are repeated. Papers on
    restoration report it with ``net='alex'``, some with ``'vgg'``.

    Args:
        pred, target, crop_border: As in :func:`psnr`.
        net: The network whose features are compared.

    Raises:
        ImportError: torchmetrics is not installed.
        OSError: The network's ImageNet weights are not in PyTorch's cache and cannot be downloaded; the message says
            where to put them.
        ValueError: As in :func:`psnr`; the network is unknown; a side within the border has fewer than 32 pixels.
    """
    import torch

    if net not in get_args(LpipsNet):
        raise ValueError(f'net={net!r}: choose alex, vgg or squeeze')
    pred, target, peak = _prepared(pred, target, Protocol(crop_border))
    if min(pred.shape[:2]) < LPIPS_SIDE:
        raise ValueError(f'LPIPS needs {LPIPS_SIDE} pixels within the border: there are '
                         f'{pred.shape[1]}x{pred.shape[0]}')
    images = [torch.from_numpy(image / peak).float().permute(2, 0, 1).expand(3, -1, -1)[None]
              for image in (pred, target)]
    with torch.no_grad():
        return float(_lpips_network(net)(*images))


@lru_cache(maxsize=1)
def _lpips_network(net: LpipsNet) -> nn.Module:
    import torch
    try:
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
    except ImportError as error:
        raise ImportError('LPIPS needs torchmetrics: pip install torchmetrics') from error
    try:
        return LearnedPerceptualImagePatchSimilarity(net, normalize=True)
    except OSError as error:
        raise OSError(f'the weights of LPIPS cannot be downloaded ({error}): put {_LPIPS_FILES[net]} of '
                      f'download.pytorch.org/models into {torch.hub.get_dir()}/checkpoints, or leave LPIPS out'
                      ) from error


def luma(image: np.ndarray) -> np.ndarray:
    """(..., 3) RGB on the scale of 8 bits to (...) luma from 16 to 235, in double precision."""
    return image.astype(np.float64) @ (_LUMA / 255) + _BLACK


def _prepared(pred: np.ndarray, target: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray, float]:
    """Both images as (H', W', C) in double precision, and the largest value.

    Raises:
        ValueError: Shapes or types differ or cannot be compared, or nothing is left within the border.
    """
    if pred.shape != target.shape or pred.dtype != target.dtype:
        raise ValueError(f'{pred.dtype} of {pred.shape} cannot be compared with {target.dtype} of {target.shape}: give '
                         'images of one size and type')
    if pred.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'images of {pred.dtype} have no scale: clip and round them to uint8 or uint16')
    if pred.ndim not in (2, 3) or (pred.ndim == 3 and pred.shape[2] not in (1, 3)):
        raise ValueError(f'images have the shape {pred.shape}: give (H, W), (H, W, 1) or (H, W, 3)')
    border = protocol.crop_border
    if border < 0 or 2 * border >= min(pred.shape[:2]):
        raise ValueError(f'crop_border={border} leaves nothing of {pred.shape[1]}x{pred.shape[0]} pixels: give a '
                         'smaller one')
    peak = 255. if pred.dtype == np.uint8 else 65535.
    return _compared(pred, protocol, peak), _compared(target, protocol, peak), peak


def _compared(image: np.ndarray, protocol: Protocol, peak: float) -> np.ndarray:
    border = protocol.crop_border
    image = image[border:image.shape[0] - border, border:image.shape[1] - border]
    image = image.reshape(*image.shape[:2], -1).astype(np.float64)
    if protocol.y_channel and image.shape[2] == 3:
        scale = peak / 255
        image = luma(image / scale)[..., None]
        image = (np.rint(image) if protocol.round_y else image) * scale
    return image


def _blocking_effect(image: np.ndarray, block: int, start: int) -> float:
    """Of an image whose first pixel is the ``start``-th of the whole one, which the blocks are counted from."""
    height, width = image.shape
    across, down = np.square(np.diff(image, axis=1)), np.square(np.diff(image, axis=0))
    at_edge_x, at_edge_y = (np.arange(start + 1, start + side) % block == 0 for side in (width, height))
    edges = across[:, at_edge_x].sum() + down[at_edge_y].sum()
    others = across[:, ~at_edge_x].sum() + down[~at_edge_y].sum()
    num_edges = height * at_edge_x.sum() + width * at_edge_y.sum()
    num_others = height * (~at_edge_x).sum() + width * (~at_edge_y).sum()
    if not num_edges or not num_others or edges / num_edges <= others / num_others:
        return 0.
    share = np.log2(block) / np.log2(min(height, width))
    return share * (edges / num_edges - others / num_others)


def _decibels(error: float, peak: float) -> float:
    return float('inf') if error == 0 else float(10 * np.log10(peak**2 / error))

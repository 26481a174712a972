"""Scores that are made some rows at a time are those of the whole image."""
import weakref
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from densevit.models.row_maps import (
    MeanMaps,
    MirroredMaps,
    ResizedMaps,
    RowMaps,
    StoredMaps,
    WindowedMaps,
    WindowLayout,
)
from densevit.models.segmentation.mask_scores import MaskLogits
from densevit.networks.segmentation.kmax.network import KMaXDeepLab


class Counted(RowMaps):
    """Given maps that count how often a row is asked for."""

    def __init__(self, maps):
        super().__init__(len(maps), maps.shape[-2:], maps[:, 0].numel() * 4)
        self.maps, self.asked = maps, torch.zeros(maps.shape[1])

    def rows(self, start, stop):
        self.asked[start:stop] += 1
        return self.maps[:, start:stop]


def read(scores, max_bytes):
    """All bands of a map, together, and how many there were."""
    bands = [band for _, band in scores.bands(max_bytes)]
    return torch.cat(bands, 1), len(bands)


@pytest.mark.parametrize('stride', [None, (20, 16)])
def test_pointwise_windows_come_back_whole(stride):
    for size, max_bytes in product(((48, 64), (33, 51), (20, 205), (7, 9)), (1, 40_000, 2**40)):
        image, batches = torch.randn(3, *size), []

        def predict(crops, batches=batches):
            batches.append(len(crops))
            return [StoredMaps(crop * 2, crop.shape[-2:], crop.shape[-2:]) for crop in crops]

        scores = WindowedMaps(image, WindowLayout((32, 32), stride, batch=2), predict)
        averaged, _ = read(scores, max_bytes)
        torch.testing.assert_close(averaged, image * 2)
        expected = 1
        for side, step in zip(size, stride or (32, 32), strict=True):
            expected *= 1 if side <= 32 else -(-(side - 32) // step) + 1
        assert sum(batches) == expected and max(batches) <= 2  # each window once


def test_overlaps_are_averaged():
    values = iter([0., 1.])
    scores = WindowedMaps(torch.zeros(1, 4, 6), WindowLayout((4, 4)), lambda crops: [
        StoredMaps(torch.full((1, 4, 4), next(values)), (4, 4), (4, 4)) for _ in crops])
    assert scores.rows(0, 1)[0, 0].tolist() == [0, 0, .5, .5, 1, 1]


def test_windows_are_forgotten_when_they_are_passed():
    made, alive = [], []

    def predict(crops):
        maps = [StoredMaps(crop.clone(), crop.shape[-2:], crop.shape[-2:]) for crop in crops]
        made.extend(weakref.ref(each) for each in maps)
        return maps

    scores = WindowedMaps(torch.randn(1, 320, 32), WindowLayout((32, 32)), predict)
    for _ in scores.bands(1):
        alive.append(sum(each() is not None for each in made))
    assert len(made) == 10 and max(alive) == 1


@pytest.mark.parametrize('size', [(100, 130), (23, 31), (48, 130), (40, 56)])
def test_resized_bands__rows_are_made_once(size):
    maps = torch.randn(4, 48, 60)
    expected = F.interpolate(maps[None, :, :40, :56], size, mode='bilinear')[0]
    for downwards in (True, False):
        source = Counted(maps)
        resized = ResizedMaps(source, (40, 56), size)
        for start in range(0, size[0], 3)[::1 if downwards else -1]:
            stop = min(start + 3, size[0])
            torch.testing.assert_close(resized.rows(start, stop), expected[:, start:stop], rtol=0, atol=1e-5)
        assert source.asked[40:].sum() == 0
        assert not downwards or source.asked.max() == 1


def test_a_band_stays_within_its_bytes():
    scores = ResizedMaps(StoredMaps(torch.randn(50, 64, 64), (256, 256), (250, 256)), (250, 256), (1000, 900))
    heights = [rows.stop - rows.start for rows, _ in scores.bands(2**23)]
    assert sum(heights) == 1000 and max(heights) * 50 * 900 * 4 < 2**23 / 2
    assert len(heights) > 20


def test_mirrored_and_mean():
    maps = torch.randn(2, 9, 5)
    stored = StoredMaps(maps, (9, 5), (9, 5))
    for axes in ((-1, ), (-2, ), (-2, -1)):
        assert torch.equal(read(MirroredMaps(stored, axes), 300)[0], maps.flip(axes))
    mean, count = read(MeanMaps([stored, MirroredMaps(stored, (-2, ))]), 300)
    torch.testing.assert_close(mean, (maps + maps.flip(-2)) / 2)
    assert count > 1


def test_masks_that_compete_do_so_at_the_size_of_the_picture():
    """Interpolated log odds are not the log odds of interpolated logits."""
    masks = 8 * torch.randn(5, 6, 8)
    network, queries = KMaXDeepLab.__new__(KMaXDeepLab), torch.tensor([3, 0])
    logits = MaskLogits.stored(network, masks, (24, 32), (20, 30), queries).resized((20, 30), (50, 61))
    padded = F.interpolate(masks[None], (24, 32), mode='bilinear')[..., :20, :30]
    expected = F.interpolate(padded, (50, 61), mode='bilinear')[0].softmax(0)[queries]
    found, number = read(logits, logits.row_bytes * 16)
    assert number > 1
    torch.testing.assert_close(found.sigmoid(), expected, rtol=0, atol=1e-5)

"""Masks that compete for pixels: their log odds, and the panoptic maps of the official code."""
import pytest
import torch
from official_kmax import official_panoptic

from densevit.networks.segmentation.kmax.postprocess import KMaXPanopticReader, competing_log_odds

SURE = 12.


def test_log_odds__their_sigmoid_is_the_softmax():
    for scale in [1., 30., 1000.]:
        for dtype in [torch.float32, torch.bfloat16, torch.float16]:
            masks = (torch.randn(2, 9, 6, 5, generator=torch.Generator().manual_seed(0)) * scale).to(dtype)
            odds = competing_log_odds(masks)
            assert odds.dtype == dtype and odds.isfinite().all()
            # Of the probability, and of a difference of two logits at a slope of 1/4.
            tolerance = torch.finfo(dtype).eps * (16 + masks.abs().max().item() / 4)
            torch.testing.assert_close(odds.double().sigmoid(), masks.double().softmax(1), rtol=0, atol=tolerance)


def test_log_odds__keep_what_a_difference_of_probabilities_loses():
    """One query has all but e-40 of a pixel: 1 - p is 0 in single precision, and its logarithm infinite."""
    odds = competing_log_odds(torch.tensor([40., 0., -60.]).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(odds, torch.tensor([40., -40., -100.]))
    assert competing_log_odds(torch.zeros(1, 1, 2, 2)).isfinite().all()  # one query alone has every pixel


def read(masks, classes, stuff, bands=1, **options):
    reader = KMaXPanopticReader(classes, stuff, masks.shape[-2:], **options)
    odds = competing_log_odds(masks)[reader.queries]
    for rows in torch.arange(masks.shape[-2]).chunk(bands):
        reader.add(slice(int(rows[0]), int(rows[-1]) + 1), odds[:, rows])
    return reader.read()


def random_case(seed, num_queries=12, num_classes=6, size=(20, 28)):
    """Smooth masks, some of which share a region, with classes from sure to doubtful."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, num_queries, 5, 7, generator=generator) * 4
    masks = torch.nn.functional.interpolate(coarse, size, mode='bilinear')[0]
    masks[1] = masks[0] + .3 * torch.randn(size, generator=generator)
    classes = torch.randn(num_queries, num_classes + 1, generator=generator) * 4
    return masks, classes


def test_official__same_panoptic_maps():
    for seed in range(20):
        masks, classes = random_case(seed)
        things = [0, 2, 5]
        expected, labels = official_panoptic(masks, classes, things)
        segments, found = read(masks, classes, stuff={1, 3, 4}, bands=3)
        assert torch.equal(segments.long() + 1, expected.long())
        assert found.tolist() == labels


def test_rows_may_come_in_any_bands():
    masks, classes = random_case(3)
    whole = read(masks, classes, stuff={1, 3, 4}, thing_threshold=.3, stuff_threshold=.3)
    assert len(whole[1]) > 2 and whole[0].dtype == torch.int16
    for bands in (2, 20):
        for expected, actual in zip(whole, read(masks, classes, {1, 3, 4}, bands, thing_threshold=.3,
                                                stuff_threshold=.3), strict=True):
            assert torch.equal(actual, expected)


def proposals(*rows, num_classes=4, size=(4, 8)):
    """Logits of (label, score logit, column range) proposals."""
    masks = torch.full((len(rows), *size), -SURE)
    classes = torch.zeros(len(rows), num_classes + 1)
    for index, (label, confidence, columns) in enumerate(rows):
        masks[index, :, slice(*columns)] = SURE
        classes[index, label] = confidence
    return masks, classes


def test_the_best_proposal_takes_its_pixels_first_and_stuff_merges():
    rows = [(0, 4., (0, 4)), (2, SURE, (4, 6)), (2, SURE, (6, 8)), (1, 5., (2, 4))]
    masks, classes = proposals(*rows)
    # Columns 2 and 3 are half those of 0 and half those of 1, whose class is surer but whose mask is not.
    segments, labels = read(masks, classes, stuff={2})
    assert segments[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0] and labels.tolist() == [2, 0]
    # By the class alone 1 is before 0, of which half is left.
    segments, labels = read(masks, classes, stuff={2}, mask_power=0.)
    assert segments[0].tolist() == [-1, -1, 1, 1, 0, 0, 0, 0] and labels.tolist() == [2, 1]
    segments, labels = read(masks, classes, stuff=(), mask_power=0., overlap_threshold=.4)
    assert segments[0].tolist() == [3, 3, 2, 2, 0, 0, 1, 1] and labels.tolist() == [2, 2, 1, 0]


def test_things_and_stuff_have_thresholds_of_their_own_and_nothing_may_be_left():
    masks, classes = proposals((0, 2., (0, 4)), (1, 2., (4, 8)))
    segments, labels = read(masks, classes, stuff={1})
    assert labels.tolist() == [1] and segments[0].tolist() == [-1] * 4 + [0] * 4
    segments, labels = read(masks, classes, stuff={1}, stuff_threshold=.9)
    assert len(labels) == 0 and (segments == -1).all()
    with pytest.raises(ValueError, match='choose a probability between 0 and 1'):
        KMaXPanopticReader(classes, (), (4, 8), pixel_threshold=0.)

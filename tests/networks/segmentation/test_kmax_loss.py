"""The losses of k-means Mask Transformer against the official code, and on cases with a known answer."""
import pytest
import torch
from official import assert_golden, write_golden
from official_kmax import official_criterion

from densevit.networks.segmentation import KMaXLoss, KMaXPrediction, MaskTarget
from densevit.networks.segmentation.kmax.loss import _at_size

NUM_CLASSES = 5
SIZE = (12, 20)
EVERY = SIZE[0] * SIZE[1]  # where all pixels are drawn, their order makes no difference
OFFICIAL = dict(loss_cls='loss_ce', loss_mask='loss_mask', loss_dice='loss_dice', loss_pixel='loss_pixel_insdis',
                loss_semantic='loss_aux_semantic')


def prediction(seed, semantic=False, num_queries=9, grad=False):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(shape, generator=generator) * 2 for shape in (
        (2, num_queries, *SIZE), (2, num_queries, NUM_CLASSES + 1), (2, 6, *SIZE), (2, NUM_CLASSES + 1, *SIZE))]
    parts[2] = torch.nn.functional.normalize(parts[2], dim=1)
    return KMaXPrediction(*(part.requires_grad_(grad) for part in parts[:3 + semantic]))


def targets(seed=0, count=4):
    """Segments that do not overlap, and pixels without a label."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for index in range(2):
        owner = torch.randint(count + index + 1, (SIZE[0] // 4, SIZE[1] // 4), generator=generator)
        owner = owner.repeat_interleave(4, 0).repeat_interleave(4, 1)
        masks = torch.stack([owner == segment for segment in range(count + index)])
        labels = torch.randint(NUM_CLASSES, (count + index, ), generator=generator)
        seen = masks.flatten(1).any(1)  # the authors' data have no others
        result.append(MaskTarget(labels[seen], masks[seen]))
    return result


def official_losses(predictions, segments, share_match):
    outputs = [dict(pred_masks=x.masks, pred_logits=x.classes, pixel_feature=x.pixels) for x in predictions]
    outputs[-1].update(aux_outputs=outputs[:-1], aux_semantic_pred=predictions[-1].semantic)
    wanted = []
    for target in segments:
        semantic = torch.full(SIZE, -1)
        for label, mask in zip(*target, strict=True):
            semantic[mask] = label
        wanted.append(dict(labels=target.labels, masks=target.masks.float(), semantic_masks=semantic))
    losses = official_criterion(NUM_CLASSES, share_match, EVERY)(outputs[-1], wanted)
    names = [(f'd{index}.', f'_{index}') for index in range(len(predictions) - 1)] + [('', '')]
    weights = KMaXLoss(NUM_CLASSES).weights
    return {before + ours: weights[ours] * losses[theirs + after]
            for before, after in names for ours, theirs in OFFICIAL.items() if theirs + after in losses}


def stages(grad=False):
    return [prediction(1, grad=grad), prediction(2, grad=grad), prediction(3, semantic=True, grad=grad)]


@pytest.mark.parametrize('share_match', [True, False])
def test_official__same_losses_and_gradients(share_match):
    theirs, ours = stages(grad=True), stages(grad=True)
    expected = official_losses(theirs, targets(), share_match)
    loss = KMaXLoss(NUM_CLASSES, share_match=share_match, pixel_samples=EVERY, semantic_samples=EVERY)
    actual = loss(ours, targets())
    assert actual.keys() == expected.keys() and len(actual) == 13
    for name in actual:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)
    for losses in (actual, expected):
        sum(losses.values()).backward()
    for mine, hers in zip((x for stage in ours for x in stage), (x for stage in theirs for x in stage), strict=True):
        if mine is not None:
            torch.testing.assert_close(mine.grad, hers.grad, rtol=1e-4, atol=1e-7)
    if share_match:
        write_golden('kmax_losses', [torch.stack([expected[name] for name in sorted(expected)])])


def test_official__recorded_losses():
    losses = KMaXLoss(NUM_CLASSES, pixel_samples=EVERY, semantic_samples=EVERY)(stages(), targets())
    assert_golden('kmax_losses', [torch.stack([losses[name] for name in sorted(losses)])])


def test_segments_too_small_for_the_map_teach_nothing():
    masks = torch.stack([target.masks[0] for target in targets()]).repeat_interleave(4, 1).repeat_interleave(4, 2)
    tiny = torch.zeros(3, *masks.shape[1:], dtype=torch.bool)
    tiny[:, 0, 0] = True  # between the pixels of the map
    seen = [MaskTarget(torch.tensor([1]), mask[None]) for mask in masks]
    more = [MaskTarget(torch.tensor([1, 0, 2, 3]), torch.cat((mask[None], tiny))) for mask in masks]
    losses = []
    for wanted in (seen, more):
        torch.manual_seed(0)
        losses.append(KMaXLoss(NUM_CLASSES)(stages(), wanted))
    torch.testing.assert_close(*losses)


def perfect(target, num_queries=6):
    """What says the target, its segments in the last queries."""
    masks = torch.full((1, num_queries, *SIZE), -30.)
    classes = torch.full((1, num_queries, NUM_CLASSES + 1), -30.)
    classes[..., -1] = 30.
    pixels, semantic = torch.zeros(1, num_queries, *SIZE), torch.full((1, NUM_CLASSES + 1, *SIZE), -30.)
    for query, (label, mask) in zip(range(num_queries - 1, -1, -1), zip(*target, strict=True), strict=False):
        masks[0, query][mask] = 30.
        classes[0, query] = -30.
        classes[0, query, label] = 30.
        pixels[0, query][mask] = 1.
        semantic[0, label][mask] = 30.
    return KMaXPrediction(masks, classes, pixels, semantic)


def halves():
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, :, :10], masks[1, :, 10:] = True, True
    return MaskTarget(torch.tensor([3, 0]), masks)


def test_a_perfect_prediction_is_matched_and_costs_little():
    loss = KMaXLoss(NUM_CLASSES)
    right = perfect(halves())
    wanted = loss.wanted(right, [halves()._replace(masks=halves().masks.float())])
    assert wanted.labels[0].tolist() == [NUM_CLASSES] * 4 + [0, 3]
    losses = loss([right], [halves()])
    for name, value in losses.items():
        # The contrast of features of unit length is finite: exp(1 / 0.3) against 1 for each of 120 pixels.
        assert value < (.1 if name != 'loss_pixel' else 5.), name
    wrong = KMaXPrediction(right.masks.flip(1), right.classes.flip(1), 1 - right.pixels, -right.semantic)
    wrong = wrong._replace(classes=right.classes.roll(1, -1))
    assert sum(loss([wrong], [halves()]).values()) > sum(losses.values()) + 10


def test_an_image_without_segments_and_one_with_too_many():
    none = MaskTarget(torch.zeros(0, dtype=torch.long), torch.zeros(0, 48, 80, dtype=torch.bool))
    many = MaskTarget(torch.arange(12) % NUM_CLASSES, torch.rand(12, 48, 80) > .7)
    stage = prediction(0, semantic=True, grad=True)
    losses = KMaXLoss(NUM_CLASSES)([stage], [none, many])
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    assert all(part.grad.isfinite().all() for part in stage[:4])
    losses = KMaXLoss(NUM_CLASSES)([prediction(0, semantic=True)], [none, none])
    assert losses['loss_mask'] == losses['loss_dice'] == losses['loss_semantic'] == 0
    assert all(value.isfinite() for value in losses.values())


def test_a_prediction_that_is_not_a_number_does_not_stop_the_match():
    stage = prediction(0)
    stage.masks[0, 0] = float('nan')
    segments = [target._replace(masks=target.masks.float()) for target in targets()]
    wanted = KMaXLoss(NUM_CLASSES).wanted(stage, segments)
    assert (wanted.labels < NUM_CLASSES).sum(1).tolist() == [len(target.labels) for target in segments]


def test_rare_pixels_are_drawn_more_often_and_unlabelled_ones_last():
    masks = torch.zeros(1, *SIZE, dtype=torch.bool).repeat(2, 1, 1)
    masks[0, :, :8], masks[1, 0, 8:10] = True, True  # 96 and 2 pixels of 240
    loss = KMaXLoss(NUM_CLASSES)
    wanted = loss.wanted(perfect(halves()), [MaskTarget(torch.tensor([1, 2]), masks.float())])
    small = masks[1].flatten().nonzero().flatten()
    torch.manual_seed(0)
    hits = sum(torch.isin(loss._sample(wanted, 8, 1.5), small).sum() for _ in range(50)) / 50
    assert hits > 1.8  # in proportion to their number it would be 0.16
    chosen = loss._sample(wanted, 98, 1.5)
    assert not wanted.void.flatten(1).gather(1, chosen).any()


def test_segments_are_read_at_the_centres_of_a_maps_pixels():
    corners = torch.zeros(1, 65, 129)
    corners[:, ::4, ::4] = 1
    assert _at_size(corners, (17, 33)).all()
    centres = torch.zeros(1, 64, 96)
    centres[:, 2::4, 2::4] = 1
    assert _at_size(centres, (16, 24)).all()
    assert _at_size(torch.zeros(0, 64, 96), (16, 24)).shape == (0, 16, 24)


def test_costs_are_single_precision_under_autocast():
    loss = KMaXLoss(NUM_CLASSES, pixel_samples=EVERY, semantic_samples=EVERY)
    expected = loss(stages(), targets())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = loss(stages(), targets())
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-6, atol=0)


def test_relaxed_masks_are_learned_from_and_soft_labels_are_an_option():
    plain = prediction(0)
    relaxed = plain._replace(relaxed=plain.masks * 1.5)
    segments = targets()
    expected = KMaXLoss(NUM_CLASSES, pixel_samples=EVERY)([plain._replace(masks=plain.masks * 1.5)], segments)
    actual = KMaXLoss(NUM_CLASSES, pixel_samples=EVERY)([relaxed], segments)
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name])
    soft = KMaXLoss(NUM_CLASSES, pixel_samples=EVERY, eta=.1)([relaxed], segments)
    assert abs(soft['loss_cls'] - actual['loss_cls']) > 1e-3
    assert all(torch.allclose(soft[name], actual[name]) for name in soft if name != 'loss_cls')

"""The loss against transformers' and against hand-made cases."""
import pytest
import torch

from densevit.networks.segmentation import MaskClassificationLoss, MaskPrediction, MaskTarget
from densevit.networks.segmentation.mask_loss import pairwise_bce, pairwise_dice


def random_case(seed, num_images=3, num_queries=10, num_classes=7, size=(24, 40)):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randn(num_images, num_queries, size[0] // 4, size[1] // 4, generator=generator) * 3
    classes = torch.randn(num_images, num_queries, num_classes + 1, generator=generator)
    targets = []
    for index in range(num_images):
        count = index + 2
        labels = torch.randint(num_classes, (count, ), generator=generator)
        targets.append(MaskTarget(labels, torch.rand(count, *size, generator=generator) > .7))
    return MaskPrediction(masks.requires_grad_(), classes.requires_grad_()), targets


@pytest.mark.parametrize('seed', range(3))
def test_equals_transformers_with_the_same_points(seed):
    eomt = pytest.importorskip('transformers.models.eomt.modeling_eomt', reason='needs transformers')
    config = eomt.EomtConfig(num_labels=7, train_num_points=200)
    weights = {'loss_cross_entropy': 2., 'loss_mask': 5., 'loss_dice': 5.}
    theirs = eomt.EomtLoss(config, weights)
    ours = MaskClassificationLoss(7, num_points=200)
    prediction, targets = random_case(seed)
    torch.manual_seed(seed)
    expected = theirs(
        masks_queries_logits=prediction.masks, class_queries_logits=prediction.classes,
        mask_labels=[t.masks.float() for t in targets], class_labels=[t.labels for t in targets])
    expected = {name: weight * expected[name] for name, weight in weights.items()}
    expected_gradient = torch.autograd.grad(sum(expected.values()), prediction)
    torch.manual_seed(seed)
    actual = ours([prediction], targets)
    for name, key in [('loss_cls', 'loss_cross_entropy'), ('loss_mask', 'loss_mask'), ('loss_dice', 'loss_dice')]:
        assert abs(actual[name].item() - expected[key].item()) <= 1e-5
    gradient = torch.autograd.grad(sum(actual.values()), prediction)
    for mine, hers in zip(gradient, expected_gradient, strict=True):
        torch.testing.assert_close(mine, hers, rtol=1e-4, atol=1e-6)


def test_pairwise_costs_are_the_definitions():
    logits, inside = torch.randn(4, 50), (torch.rand(3, 50) > .5).float()
    for q in range(4):
        for n in range(3):
            bce = torch.nn.functional.binary_cross_entropy_with_logits(logits[q], inside[n])
            probs = logits[q].sigmoid()
            dice = 1 - (2 * (probs * inside[n]).sum() + 1) / (probs.sum() + inside[n].sum() + 1)
            torch.testing.assert_close(pairwise_bce(logits, inside)[q, n], bce)
            torch.testing.assert_close(pairwise_dice(logits, inside)[q, n], dice)


def perfect(target, num_queries=5, num_classes=4):
    """Logits that say the target, its segments in the last queries."""
    masks = torch.full((num_queries, *target.masks.shape[-2:]), -20.)
    classes = torch.full((num_queries, num_classes + 1), -20.)
    classes[:, -1] = 20.
    for query, (label, mask) in zip(range(num_queries - 1, -1, -1), zip(*target, strict=True), strict=False):
        masks[query][mask] = 20.
        classes[query] = -20.
        classes[query, label] = 20.
    return MaskPrediction(masks[None], classes[None])


def test_a_perfect_prediction_is_matched_and_costs_nothing():
    halves = torch.zeros(2, 16, 24, dtype=torch.bool)
    halves[0, :, :12], halves[1, :, 12:] = True, True
    target = MaskTarget(torch.tensor([3, 0]), halves)
    loss = MaskClassificationLoss(4, num_points=400, importance_sample_ratio=0.)  # few points on the boundary
    prediction = perfect(target)
    queries, segments = loss.match(MaskPrediction(prediction.masks[0], prediction.classes[0]), target)
    assert {(int(q), int(s)) for q, s in zip(queries, segments, strict=True)} == {(4, 0), (3, 1)}
    losses = loss([prediction], [target])
    assert losses['loss_cls'] < 1e-6 and losses['loss_dice'] < .3 and losses['loss_mask'] < 3.
    wrong = MaskPrediction(-prediction.masks, -prediction.classes)
    assert sum(loss([wrong], [target]).values()) > 10


def test_images_without_a_segment_teach_no_object_and_keep_the_graph():
    prediction, _ = random_case(0, num_images=2)
    empty = MaskTarget(torch.zeros(0, dtype=torch.long), torch.zeros(0, 24, 40, dtype=torch.bool))
    losses = MaskClassificationLoss(7, num_points=20)([prediction], [empty, empty])
    assert losses['loss_mask'] == losses['loss_dice'] == 0
    sum(losses.values()).backward()
    assert prediction.masks.grad is not None and prediction.classes.grad.abs().sum() > 0


def test_more_segments_than_queries_and_invalid_costs():
    prediction, _ = random_case(0, num_images=1, num_queries=2)
    target = MaskTarget(torch.arange(5), torch.rand(5, 24, 40) > .5)
    losses = MaskClassificationLoss(7, num_points=20)([prediction], [target])
    assert all(loss.isfinite() for loss in losses.values())
    with torch.no_grad():
        prediction.masks[0, 0] = float('inf')
        prediction.classes[0, 0] = float('nan')
    queries, segments = MaskClassificationLoss(7, num_points=20).match(
        MaskPrediction(prediction.masks[0], prediction.classes[0]), MaskTarget(target.labels[:1], target.masks[:1]))
    assert queries.tolist() == [1] and segments.tolist() == [0]


def test_each_prediction_is_named_and_supervised_alike():
    first, targets = random_case(1)
    second, _ = random_case(2)
    loss = MaskClassificationLoss(7, num_points=100)
    torch.manual_seed(0)
    together = loss([first, second], targets)
    torch.manual_seed(0)
    apart = [loss([first], targets), loss([second], targets)]
    assert len(together) == 6
    for name in apart[0]:
        assert torch.equal(together[f'd0.{name}'], apart[0][name])
        assert torch.equal(together[name], apart[1][name])


def test_costs_are_single_precision_under_autocast():
    prediction, targets = random_case(2)
    loss = MaskClassificationLoss(7, num_points=200)
    torch.manual_seed(0)
    expected = loss([prediction], targets)
    torch.manual_seed(0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = loss([prediction], targets)
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_broken_half_precision_masks_are_matched_last():
    for value in [float('inf'), -float('inf'), float('nan'), 65504.]:
        masks, classes = torch.randn(4, 6, 10).half(), torch.randn(4, 8).half()
        masks[0] = value
        target = MaskTarget(torch.tensor([2, 5, 1]), torch.rand(3, 24, 40) > .5)
        target.masks[1] = False  # an empty segment
        queries, segments = MaskClassificationLoss(7, num_points=30).match(MaskPrediction(masks, classes), target)
        assert queries.tolist() == [1, 2, 3] and sorted(segments.tolist()) == [0, 1, 2]

"""Reading mask predictions, on cases with a known answer."""
import torch

from densevit.networks.segmentation import instance_masks, panoptic_map, semantic_scores

SURE = 12.


def proposals(*rows, num_classes=4, size=(4, 8)):
    """Logits of (label or None, score logit, column range) proposals."""
    masks = torch.full((len(rows), *size), -SURE)
    classes = torch.zeros(len(rows), num_classes + 1)
    for index, (label, confidence, columns) in enumerate(rows):
        masks[index, :, slice(*columns)] = SURE
        classes[index, num_classes if label is None else label] = confidence
    return masks, classes


def test_semantic_scores_sum_over_queries_of_a_class():
    masks, classes = proposals((2, SURE, (0, 4)), (2, SURE, (4, 8)), (None, SURE, (0, 8)))
    scores = semantic_scores(masks[None], classes[None])[0]
    assert scores.shape == (4, 4, 8)
    assert (scores.argmax(0) == 2).all()
    torch.testing.assert_close(scores[2], torch.ones(4, 8), rtol=0, atol=1e-3)
    assert scores[[0, 1, 3]].max() < 1e-3


def test_instances_are_sorted_and_scored_by_class_and_mask():
    masks, classes = proposals((1, 2., (0, 2)), (3, 8., (2, 8)), (None, SURE, (0, 8)))
    masks[1, 0] = .1  # a doubtful row lowers the score of the second
    result = instance_masks(masks, classes, top_k=2)
    assert result.labels.tolist() == [3, 1]
    assert result.masks[0].sum() == 24 + 2 and result.masks[1].sum() == 8
    score = classes[1].softmax(0)[3] * (18 * torch.tensor(SURE).sigmoid() + 8 * torch.tensor(.1).sigmoid()) / 26
    torch.testing.assert_close(result.scores[0], score, rtol=1e-4, atol=1e-4)


def test_instance_pairs_outnumber_queries_only_up_to_their_count():
    masks, classes = proposals((1, 2., (0, 2)))
    assert len(instance_masks(masks, classes, top_k=100).labels) == 4  # one query, four classes


def test_stuff_merges_and_things_do_not_whatever_their_ids():
    rows = [(0, SURE, (0, 2)), (2, SURE, (2, 4)), (0, SURE, (4, 6)), (2, SURE, (6, 8))]
    segments, labels = panoptic_map(*proposals(*rows), stuff={2})
    assert labels.tolist() == [0, 2, 0]
    assert segments[0].tolist() == [0, 0, 1, 1, 2, 2, 1, 1]
    segments, labels = panoptic_map(*proposals(*rows), stuff={0})
    assert labels.tolist() == [0, 2, 2]
    assert segments[0].tolist() == [0, 0, 1, 1, 0, 0, 2, 2]


def test_doubtful_void_and_hidden_proposals_are_dropped():
    rows = [(0, SURE, (0, 8)), (1, 3., (0, 7)), (None, SURE, (0, 8)), (3, 1., (7, 8))]
    segments, labels = panoptic_map(*proposals(*rows), stuff=())
    assert labels.tolist() == [0]  # 1 is covered by 0; 3 scores too low
    assert (segments == 0).all()


def test_pixels_of_a_dropped_proposal_are_void():
    masks, classes = proposals((0, SURE, (0, 6)), (1, 4., (4, 8)))
    masks[1, :, 6:] = SURE
    segments, labels = panoptic_map(masks, classes, stuff=())
    assert labels.tolist() == [0]  # 1 keeps only half of its mask
    assert segments[0].tolist() == [0] * 6 + [-1] * 2


def test_nothing_found():
    masks, classes = proposals((None, SURE, (0, 8)))
    segments, labels = panoptic_map(masks, classes, stuff=())
    assert len(labels) == 0 and (segments == -1).all()

"""densevit.layers.matching."""
from itertools import permutations

import pytest
import torch

from densevit.layers.matching import hungarian_match


@pytest.mark.parametrize('maximize', [False, True])
def test_pairs_have_the_best_total_of_all(maximize):
    for shape in [(5, 3), (3, 4)]:
        scores = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
        predictions, targets = hungarian_match(scores, maximize)
        assert predictions.dtype == targets.dtype == torch.int64
        assert len(predictions) == min(shape) and predictions.tolist() == sorted(set(predictions.tolist()))
        wide = scores.double() if shape[0] <= shape[1] else scores.double().T
        totals = [wide[range(len(wide)), order].sum() for order in permutations(range(wide.shape[1]), len(wide))]
        best = max(totals) if maximize else min(totals)
        torch.testing.assert_close(scores.double()[predictions, targets].sum(), best)


@pytest.mark.parametrize('maximize', [False, True])
def test_scores_that_are_no_numbers_are_used_last_and_leave_the_others_right(maximize):
    for broken in [float('nan'), float('inf'), -float('inf')]:
        good = torch.tensor([[0., 1e-3, 5.], [1e-3, 0., 5.], [2., 2., 2.]])
        scores = -good if maximize else good
        scores[2] = broken  # the third prediction has to take what is left
        assert hungarian_match(scores, maximize)[1].tolist() == [0, 1, 2]
        scores[:, 2] = broken
        assert hungarian_match(scores, maximize)[1].tolist() == [0, 1, 2]
        assert len(hungarian_match(torch.full((3, 2), broken), maximize)[0]) == 2


def test_without_targets_there_are_no_pairs():
    predictions, targets = hungarian_match(torch.zeros(3, 0, requires_grad=True))
    assert len(predictions) == len(targets) == 0

"""The annealing of EoMT's masks against the published recipes."""
from __future__ import annotations

import pytest
import torch

from densevit.networks.segmentation.eomt import annealed_probs

# Training steps and number of blocks of the authors' configs: COCO 12 and 24 epochs, ADE20K, Cityscapes.
PUBLISHED = [(88_692, 4), (177_384, 3), (39_120, 4), (19_902, 5)]


@pytest.mark.parametrize(('total', 'num_blocks'), PUBLISHED)
def test_annealing_steps_are_those_of_the_authors(total, num_blocks):
    starts = torch.linspace(total / 6, total * 4 / 6, num_blocks, dtype=torch.float64)
    for step in torch.linspace(0, total, 61, dtype=torch.float64).tolist():
        expected = [
            1. if step < start else max(0., 1. - (step - start) / (total / 6))**.9 for start in starts.tolist()]
        assert annealed_probs(step / total, num_blocks) == pytest.approx(expected, abs=1e-9)


def test_annealing_ends_with_a_sixth_of_the_run_without_masks():
    assert annealed_probs(0 / 600, 4) == [1.] * 4
    assert annealed_probs(100 / 600, 4)[0] == 1. and annealed_probs(101 / 600, 4)[0] < 1.
    assert annealed_probs(499 / 600, 4)[-1] > 0. and annealed_probs(500 / 600, 4) == pytest.approx([0.] * 4)


def test_annealing_with_given_starts():
    """DINOv3 on ADE20K: the first block from step 0 to 3000, of 19 560."""
    probs = annealed_probs(1500 / 19_560, 4, starts=[0., 1 / 3, 1 / 2, 2 / 3], length=3000 / 19_560)
    assert probs == pytest.approx([.5**.9, 1., 1., 1.])

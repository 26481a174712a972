"""What ``predict`` hands to a model is the picture that it was given, whatever a config validates on."""
import random

import numpy as np
import pytest
import torch
from shrink import NAMES, load

from densevit.inference.pipeline import InferencePipeline

GREY, SIZE = 90, (37, 61)
# What the package has weights of, and others of each task.
TINY = [name for name in NAMES if name.startswith('configs/tiny/')]


@pytest.mark.parametrize('name', [*TINY, 'configs/vitmatte/vitmatte_s_comp1k.py'])
def test_predict_gets_the_picture(name):
    """A test pipeline resizes and pads: grey stays grey, nothing is drawn by chance, and no truth is made up."""
    pipeline = InferencePipeline(load(name))
    inputs, sample = pipeline(np.full((*SIZE, 3), GREY, np.uint8))
    assert (inputs[:, 0, 0] == GREY).all() and (inputs == GREY).float().mean() > .3
    assert len(inputs.unique()) <= 4, 'grey, and pads of one colour'
    assert not {'gt_alpha', 'trimap', 'gt_depth_map', 'gt_img', 'mask'} & {*sample.keys()}
    picture, found, drawn = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8), [], []
    for seed in (5, 6):
        random.seed(seed)
        np.random.seed(seed)
        found.append(pipeline(picture.copy())[0])
        drawn.append((random.random(), np.random.random()))
    assert torch.equal(*found)
    assert drawn[0] != drawn[1], "the user's generators are not seeded"

"""Checkpoints of Plain DETR under its authors' names; tests/networks/detection/test_plain_detr.py compares outputs."""
import argparse

import pytest
import torch
from networks.detection.test_plain_detr import build

from densevit.weights import WeightsError, load_weights
from densevit.weights.names.plain_detr import read_plain_detr


def official_names(ours, num_classes):
    """The authors' names of what a COCO checkpoint tells its classes by, each row of a head holding its id."""
    ids = torch.arange(float(num_classes))
    state = {f'backbone.0.net.body.{name.removeprefix("trunk.")}': tensor
             for name, tensor in ours.backbone.state_dict().items()}
    state.update({name: torch.zeros(1) for name in ('transformer.pos_trans.weight', 'transformer.level_embed',
                                                    'input_proj.0.0.weight')})
    for layer in range(4):
        state[f'class_embed.{layer}.weight'] = ids.unsqueeze(1).repeat(1, 32)
        state[f'class_embed.{layer}.bias'] = ids
        state[f'transformer.decoder.class_embed.{layer}.bias'] = ids
    return state


def test_coco_of_91_ids_is_read_as_its_80_classes():
    """Of the heads of layers; cells keep the first one, which says whether there is an object."""
    ours = build(num_classes=80)
    read = read_plain_detr(official_names(ours, 91), ours)
    ids = read.state['class_head.2.bias'].tolist()
    assert ids[:12] == [*range(1, 12), 13] and ids[-1] == 90 and len(ids) == 80
    assert read.state['class_head.3.bias'].tolist() == list(range(80))
    assert len(read.left) == 4 and all(name.startswith('transformer.decoder.class_embed') for name in read.left)


def test_other_numbers_of_classes_stay():
    ours = build(num_classes=5)
    read = read_plain_detr(official_names(ours, 20), ours)
    assert read.state['class_head.0.weight'].shape == (20, 32)


def test_boxes_that_are_sigmoids_are_refused(tmp_path):
    """They have the names and shapes of the others; the options of the authors' script tell."""
    ours = build(num_classes=5)
    torch.save(dict(model=official_names(ours, 5), args=argparse.Namespace(reparam=False)), tmp_path / 'theirs.pth')
    with pytest.raises(WeightsError, match='without --reparam.*_reparam.pth'):
        load_weights(ours, tmp_path / 'theirs.pth')

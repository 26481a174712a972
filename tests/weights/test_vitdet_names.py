"""Checkpoints of detectron2's ViTDet and of plain ViTs fill a SimpleFeaturePyramid."""
from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch
from randomised import randomise
from tiny_models import TINY

from densevit.adapters import SimpleFeaturePyramid
from densevit.weights import WeightsError, load_weights, read_state_dict

SAM = dict(TINY, family='sam', img_size=64, window_size=3, global_blocks=(1, ), pos_embed_grid=3)
PLAIN = dict(TINY, img_size=48, window_size=3)
TO_DETECTRON2 = (
    (r'^vit\.trunk\.', 'net.'),
    (r'^levels\.(\d)\.resize\.', lambda match: f'simfp_{int(match[1]) + 2}.'),
    *((rf'^levels\.{level}\.{name}(_norm)?\.',
       lambda match, stage=level + 2, layer=resized + after: f'simfp_{stage}.{layer}{".norm" if match[1] else ""}.')
      for level, resized in enumerate((4, 1, 0, 1)) for after, name in enumerate(('project', 'smooth'))),
)


def pyramid(seed=2, vit=SAM, **kwargs):
    return randomise(SimpleFeaturePyramid(vit, out_channels=8, **kwargs), seed)


def detectron2_names(model):
    """A checkpoint of the whole detector: the class token's position is there, and so are heads."""
    state = {}
    for name, tensor in model.state_dict().items():
        for pattern, new in TO_DETECTRON2:
            name = re.sub(pattern, new, name)
        if name == 'net.pos_embed':
            tensor = torch.cat((torch.full((1, 1, 32), 9.), tensor.flatten(1, -2)), dim=1)
        state[f'backbone.{name}'] = tensor.clone()
    return {**state, 'roi_heads.box_head.fc1.weight': torch.ones(2, 2), 'pixel_mean': torch.ones(3, 1, 1)}


def assert_same(ours, theirs, images):
    for level, expected in zip(ours(images), theirs(images), strict=True):
        assert torch.equal(level, expected)


@pytest.mark.parametrize('vit', [SAM, PLAIN], ids=['relative positions', 'plain'])
def test_detectron2_names(images, vit):
    source, model = pyramid(1, vit), pyramid(2, vit)
    report = load_weights(model, {'model': detectron2_names(source), 'iteration': 7})
    assert report.naming == 'detectron2 ViTDet' and not report.missing
    assert set(report.left) == {'roi_heads.box_head.fc1.weight', 'pixel_mean'}
    assert_same(model, source, images)


def test_pickles_of_the_model_zoo(tmp_path, images):
    source = pyramid(1)
    arrays = {name: tensor.numpy() for name, tensor in detectron2_names(source).items()}
    content, path = {'model': arrays, '__author__': 'third', 'matching_heuristics': True}, tmp_path / 'model_final.pkl'
    for protocol in range(2, 6):
        model = pyramid(2)
        path.write_bytes(pickle.dumps(content, protocol))
        load_weights(model, path)
        assert_same(model, source, images)


def test_arrays_of_any_type(tmp_path):
    for dtype in ('>f4', 'float16', 'int64', 'bool'):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        (tmp_path / 'w.pkl').write_bytes(pickle.dumps({'w': array, 'name': 'text'}))
        assert np.array_equal(read_state_dict(tmp_path / 'w.pkl')['w'].numpy(), array)


class Reduced:
    """Calls whatever it is given when it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('function, arguments, name', [
    (exec, ('raise SystemExit', ), 'builtins.exec'),
    (np.load, ('file', ), 'numpy.load'),
])
def test_a_pickle_that_calls_anything_else_is_refused(tmp_path, function, arguments, name):
    path = tmp_path / 'w.pkl'
    path.write_bytes(pickle.dumps({'model': {'w': np.ones(2)}, 'code': Reduced(function, *arguments)}))
    with pytest.raises(WeightsError, match=rf'more than weights \({name}\), which could run any code') as error:
        read_state_dict(path)
    assert '\n' not in str(error.value)


def test_levels_that_the_model_lacks_are_left(images):
    source, model = pyramid(1), pyramid(2, scale_factors=(2., 1., .5))
    report = load_weights(model, detectron2_names(source))
    assert 'backbone.simfp_2.0.weight' not in report.loaded and any('simfp_2.0.weight' in name for name in report.left)
    for level, expected in zip(model(images), source(images)[1:], strict=True):
        assert torch.equal(level, expected)


def test_levels_that_the_checkpoint_lacks_are_named():
    state = detectron2_names(pyramid(1, scale_factors=(4., 2., 1.)))
    with pytest.raises(WeightsError, match=r'only in the model: levels\.3\.project\.weight'):
        load_weights(pyramid(2), state)
    with pytest.raises(WeightsError, match=r'blocks\.0\.residual'):
        load_weights(pyramid(2), {**detectron2_names(pyramid(1)), 'backbone.net.blocks.0.residual.conv1.weight':
                                  torch.ones(2)})


@pytest.mark.parametrize('vit', [SAM, PLAIN], ids=['relative positions', 'plain'])
def test_mae_fills_the_vit(images, vit):
    """The decoder, the class token and the final norm are left; levels and relative positions stay as they are."""
    source, model = pyramid(1, vit), pyramid(2, vit)
    trunk = {name: tensor for name, tensor in source.vit.trunk.state_dict().items() if 'rel_pos' not in name}
    state = {**trunk, 'pos_embed': torch.cat((torch.ones(1, 1, 32), trunk['pos_embed'].flatten(1, -2)), dim=1),
             'cls_token': torch.ones(1, 1, 32), 'norm.weight': torch.ones(32), 'norm.bias': torch.ones(32),
             'mask_token': torch.zeros(1, 1, 32), 'decoder_pos_embed': torch.zeros(1, 10, 8),
             'decoder_blocks.0.norm1.weight': torch.zeros(8)}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = load_weights(model, {'model': state})
    assert report.naming == 'MAE'
    assert {'cls_token', 'norm.weight', 'decoder_pos_embed'} <= {name.split('trunk.')[-1] for name in report.left}
    for name, tensor in model.state_dict().items():
        is_trunk = name.startswith('vit.trunk.') and 'rel_pos' not in name
        assert torch.equal(tensor, (source.state_dict() if is_trunk else before)[name]), name
        assert is_trunk or name in report.missing


def test_our_own_names(images):
    source, model = pyramid(1), pyramid(2)
    load_weights(model, source.state_dict())
    assert_same(model, source, images)

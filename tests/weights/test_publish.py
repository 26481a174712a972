"""A training checkpoint becomes a small file that loads, with a card."""
from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from tiny_models import random_eomt

from densevit import commands
from densevit.weights import WeightsError, load_weights, zoo
from densevit.weights.publish import half_precision, publish_weights, read_curve

NAME = 'eomt_tiny_camvid'
META = dict(iter=500, dataset_meta=dict(CLASSES=('road', 'sky'), palette=[[1, 2, 3], [4, 5, 6]]))


@pytest.fixture
def checkpoint(tmp_path):
    state = {f'network.{name}': tensor for name, tensor in random_eomt(seed=1).state_dict().items()}
    state['criterion.class_weights'] = torch.ones(8)
    content = dict(meta=META, state_dict=state, optimizer=dict(state={0: torch.zeros(1000)}))
    torch.save(content, tmp_path / 'iter_500.pth')
    return tmp_path / 'iter_500.pth'


@pytest.fixture
def scalars(tmp_path):
    records = [dict(loss=10. / step, lr=.1, step=step, iter=step) for step in range(1, 201)]
    records.append(dict(mIoU=41.5, aAcc=80., step=200))
    (tmp_path / 'scalars.json').write_text(''.join(json.dumps(record) + '\n' for record in records))
    return tmp_path / 'scalars.json'


def test_weights_and_card(tmp_path, checkpoint, scalars, images):
    folder = tmp_path / 'bundled'
    weights, card = publish_weights(
        checkpoint, NAME, dict(mIoU=.415), data='CamVid', terms='research', scalars=scalars, folder=folder)
    assert (weights, card) == (folder / f'{NAME}.safetensors', folder / f'{NAME}.json')
    assert sorted(path.name for path in folder.iterdir()) == [card.name, weights.name]
    assert weights.stat().st_size < checkpoint.stat().st_size
    with safe_open(weights, 'pt') as file:
        meta = json.loads(file.metadata()['dataset_meta'])
        assert meta == dict(classes=['road', 'sky'], palette=[[1, 2, 3], [4, 5, 6]])
        assert file.get_tensor('network.query.weight').dtype == torch.float16
        assert file.get_tensor('network.class_head.bias').dtype == torch.float32
        assert not [key for key in file.keys() if key.startswith('criterion')]  # noqa: SIM118
    content = json.loads(card.read_text())
    assert content['metrics'] == dict(mIoU=.415) and content['sha256'] == zoo.file_sha256(weights)
    assert content['data'] == 'CamVid' and content['terms'] == 'research' and content['iterations'] == 500
    assert content['command'] == 'python tools/train.py configs/tiny/eomt_tiny_camvid.py'
    assert content['bytes'] == weights.stat().st_size
    source, model = random_eomt(seed=1), random_eomt(seed=2)
    assert not load_weights(model, weights).left
    torch.testing.assert_close(model(images)[-1].classes, source(images)[-1].classes, rtol=.05, atol=.05)


def test_the_curve_is_thinned_and_keeps_all_metrics(scalars):
    curve = read_curve(scalars)
    assert 40 <= len(curve) <= 61
    assert curve[0] == dict(step=1, loss=10.) and dict(step=200, mIoU=.415) in curve


def test_the_curve_has_what_detection_and_panoptic_metrics_log(tmp_path):
    records = [
        {'loss': 2., 'coco/none': 1., 'step': 5},
        {'coco/segm_mAP': .197, 'coco/segm_mAP_50': .472, 'coco/segm_mAP_l': -1., 'time': 1.9, 'step': 9},
        {'coco_panoptic/PQ': 38.25, 'coco_panoptic/PQ_th': 20., 'step': 10},
        {'AP': 19.7, 'AP50': 47.25, 'AR': 30., 'step': 11}, {'data_time': .1, 'time': 1.9, 'step': 12}]
    (tmp_path / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))
    assert read_curve(tmp_path / 'scalars.json') == [
        {'step': 5, 'loss': 2.}, {'step': 9, 'coco/segm_mAP': .197, 'coco/segm_mAP_50': .472},
        {'step': 10, 'coco_panoptic/PQ': .3825}, {'step': 11, 'AP': .197, 'AP50': .4725}]


def test_values_that_half_precision_cannot_hold():
    for tensor, said in ((torch.full((2, 2), 1e5), '1e.05'), (torch.full((2, 2), float('nan')), 'not finite')):
        with pytest.raises(WeightsError, match=said):
            half_precision({'x': tensor})
    assert half_precision({'n': torch.tensor([3])})['n'].dtype == torch.int64


@pytest.mark.parametrize('name, metrics, said', [
    (NAME, dict(mIoU=41.5), 'divide percentages by 100'), ('eomt_tiny', dict(mIoU=.4), 'did you mean')])
def test_mistakes(tmp_path, checkpoint, name, metrics, said):
    with pytest.raises(ValueError, match=said):
        publish_weights(checkpoint, name, metrics, folder=tmp_path / 'bundled')
    assert not (tmp_path / 'bundled').exists()


@pytest.mark.parametrize('metric, code', [('mIoU=.4', 0), ('mIoU=40', 2), ('mIoU', 2)])
def test_command(tmp_path, monkeypatch, capsys, checkpoint, metric, code):
    monkeypatch.setattr('densevit.weights.publish.BUNDLED', tmp_path / 'bundled')
    arguments = ['publish-weights', str(checkpoint), NAME, '--metrics', metric]
    if metric == 'mIoU':
        with pytest.raises(SystemExit, match='2'):
            commands.main(arguments)
    else:
        assert commands.main(arguments) == code
    out, err = capsys.readouterr()
    assert f'{NAME}.safetensors' in out if code == 0 else 'error: ' in err
    assert (tmp_path / 'bundled').exists() == (code == 0)

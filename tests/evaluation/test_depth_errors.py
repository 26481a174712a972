"""Errors of depth in all conventions, against numbers made by hand, on a pair of NYU and one of KITTI."""
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from densevit.evaluation.depth import DepthErrorMetric, align, crop_mask, depth_errors


def sample(prediction, truth, **more):
    maps = {name: dict(data=torch.tensor(np.asarray(data, np.float32))[None])
            for name, data in (('pred_depth_map', prediction), ('gt_depth_map', truth))}
    return dict(maps, **more)


def figures(prediction, truth, **options):
    metric = DepthErrorMetric(**options)
    metric.process(None, [sample(prediction, truth)])
    return metric.compute_metrics(metric.results)


def test_figures__by_hand():
    found = depth_errors(np.array([1.1, 2., 6.]), np.array([1., 2., 4.]))
    logs = np.log([1.1, 1., 1.5])
    expected = dict(
        delta1=2 / 3, delta2=1., delta3=1., AbsRel=(.1 + 0 + .5) / 3, SqRel=(.01 + 0 + 1.) / 3,
        SqRelKITTI=(.01 + 0 + .25) / 3, RMSE=math.sqrt((.01 + 4) / 3), MAE=2.1 / 3, RMSElog=math.sqrt((logs**2).mean()),
        log10=(math.log10(1.1) + math.log10(1.5)) / 3, SILog=100 * logs.std(),
        SILogEigen=math.sqrt((logs**2).mean() - logs.mean()**2 / 2))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize('crop, size, rows, columns', [
    ('nyu_eigen', (480, 640), (45, 471), (41, 601)), ('kitti_garg', (375, 1242), (153, 371), (44, 1197)),
    ('kitti_eigen', (375, 1242), (124, 342), (44, 1197)), ('none', (3, 5), (0, 3), (0, 5))])
def test_crops(crop, size, rows, columns):
    where = np.argwhere(crop_mask(crop, size))
    assert [*where.min(0), *(where.max(0) + 1)] == [rows[0], columns[0], rows[1], columns[1]]


def test_alignments():
    truth = np.random.default_rng(0).uniform(1, 8, (6, 7))
    assert np.allclose(align(.3 * truth, truth, 'median'), truth)
    assert np.allclose(align(.3 * truth + 2, truth, 'least_squares'), truth)
    assert np.allclose(align(5 / truth + 3, truth, 'least_squares_disparity', is_disparity=True), truth)
    assert np.allclose(align(1 / (5 / truth + 3), truth, 'least_squares_disparity'), truth)
    with pytest.raises(ValueError, match="alignment='least_squares_disparity'"):
        align(truth, truth, 'median', is_disparity=True)


def test_range_and_clamp():
    truth = np.array([[0., 2., 20., np.nan]])
    far = figures(np.array([[1., 30., 1., 1.]]), truth)
    assert far['MAE'] == pytest.approx(8.)  # 30 m is brought to 10 m; what is not within 10 m does not count
    assert figures(np.array([[1., 30., 1., 1.]]), truth, clamp=False)['MAE'] == pytest.approx(28.)
    assert figures(np.array([[1., -3., 1., 1.]]), truth, clamp=False)['MAE'] == pytest.approx(1.999)
    assert math.isnan(figures(truth, np.zeros((1, 4)))['AbsRel'])


@pytest.mark.parametrize('given, own', [
    ('relative_disparity', {}), ('metric', dict(kind='relative_disparity', alignment='least_squares_disparity'))])
def test_kind__is_that_of_the_network(given, own):
    predicted = sample(np.full((9, 9), 2.), np.full((9, 9), 4.))
    predicted['pred_depth_map']['kind'] = given
    with pytest.raises(ValueError, match=f"the network gives kind='{given}'.*set kind='{given}' in the evaluator"):
        DepthErrorMetric(**own).process(None, [predicted])


def test_names__have_the_convention():
    metric = DepthErrorMetric(crop='kitti_garg', max_depth=80., alignment='median')
    assert metric.prefix == 'kitti_garg_0.001-80m_clamped_median'
    assert DepthErrorMetric(clamp=False).prefix == 'full_0.001-10m'
    metric.process(None, [sample(np.full((9, 9), 2.), np.full((9, 9), 4.)), sample(np.ones((9, 9)), np.zeros((9, 9)))])
    found = metric.evaluate(2)
    assert found['kitti_garg_0.001-80m_clamped_median/delta1'] == 1.  # the one without depth is left out
    mirrored = sample(np.full((9, 9), 2.), np.full((9, 9), 4.))
    mirrored['pred_depth_map']['flip'] = True  # what models say of predictions that are averaged with their mirror's
    for options, name in ((dict(alignment='median'), 'full_0.001-10m_clamped_median_flip'), (dict(prefix='a'), 'a')):
        averaged = DepthErrorMetric(**options)
        averaged.process(None, [mirrored])
        assert f'{name}/delta1' in averaged.evaluate(1)
    for options in (dict(crop='eigen'), dict(alignment='scale'), dict(max_depth=0.), dict(kind='relative_depth')):
        with pytest.raises(ValueError, match='DepthErrorMetric has'):
            DepthErrorMetric(**options)
    with pytest.raises(ValueError, match='LoadDepth follow the resize'):
        metric.process(None, [sample(np.ones((9, 9)), np.ones((9, 8)))])


@pytest.mark.parametrize('name, crop, most', [
    ('nyu_basement_00050', 'nyu_eigen', 10.), ('kitti_gt_0000000050', 'kitti_garg', 80.),
    ('kitti_gt_0000000050', 'kitti_eigen', 80.), ('kitti_gt_0000000050', 'none', 50.)])
def test_real_pairs(name, crop, most, shared_data):
    """Every convention on real depth, computed here a second time, pixel by pixel in the words of the papers."""
    folder = shared_data / 'depth_mixed'
    if not folder.is_dir():
        pytest.skip('depth_mixed: set DENSEVIT_TEST_DATA')
    entry = next(each for each in json.loads((folder / 'index.json').read_text()) if each['name'] == name)
    truth = np.asarray(Image.open(folder / entry['depth'])).astype(np.float64) / entry['scale']
    generator = np.random.default_rng(0)
    prediction = np.maximum(1.1 * truth + generator.normal(0, .1, truth.shape) + .2, .05)
    height, width = truth.shape
    top, bottom, left, right = 0, height, 0, width
    if crop == 'nyu_eigen':
        top, bottom, left, right = 45, 471, 41, 601
    elif crop == 'kitti_garg':
        top, bottom = int(.40810811 * height), int(.99189189 * height)
        left, right = int(.03594771 * width), int(.96405229 * width)
    elif crop == 'kitti_eigen':
        top, bottom = int(.3324324 * height), int(.91351351 * height)
        left, right = int(.0359477 * width), int(.96405229 * width)
    inside = np.zeros(truth.shape, bool)
    inside[top:bottom, left:right] = True
    known = inside & (truth > 1e-3) & (truth < most)
    assert known.sum() > 1000
    t, raw = truth[known], prediction[known].astype(np.float32).astype(np.float64)
    aligned = dict(none=raw, median=raw * np.median(t) / np.median(raw))
    aligned['least_squares'] = np.polyval(np.polyfit(raw, t, 1), raw)
    aligned['least_squares_disparity'] = 1 / np.maximum(np.polyval(np.polyfit(1 / raw, 1 / t, 1), 1 / raw), 1e-8)
    for alignment, p in aligned.items():
        for clamp in (True, False):
            own = np.clip(p, 1e-3, most) if clamp else np.maximum(p, 1e-3)
            found = figures(prediction, truth, crop=crop, max_depth=most, clamp=clamp, alignment=alignment)
            assert found['AbsRel'] == pytest.approx(np.mean(np.abs(own - t) / t), rel=1e-4)
            assert found['RMSE'] == pytest.approx(np.sqrt(np.mean((own - t)**2)), rel=1e-4)
            for power in (1, 2, 3):
                share = np.mean(np.maximum(own / t, t / own) < 1.25**power)
                assert found[f'delta{power}'] == pytest.approx(share, abs=1e-4)
            e = np.log(own) - np.log(t)
            assert found['RMSElog'] == pytest.approx(np.sqrt(np.mean(e**2)), rel=1e-4)
            assert found['log10'] == pytest.approx(np.mean(np.abs(np.log10(own) - np.log10(t))), rel=1e-4)
            assert found['SILog'] == pytest.approx(100 * np.sqrt(np.mean(e**2) - np.mean(e)**2), rel=1e-4)
            assert found['SILogEigen'] == pytest.approx(np.sqrt(np.mean(e**2) - .5 * np.mean(e)**2), rel=1e-4)


def test_pictures(tmp_path):
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / 'room.png')
    truth = np.linspace(1, 4, 600).reshape(20, 30)
    metric = DepthErrorMetric(pictures=1, folder=tmp_path / 'run')
    metric.process(None, [sample(truth + .1, truth, img_path=str(tmp_path / 'room.png'))] * 2)
    assert [path.name for path in (tmp_path / 'run').rglob('*.*')] == ['room.png']
    assert Image.open(tmp_path / 'run' / 'depth' / 'room.png').width > 1000

"""The four figures of matting against values by hand and against other libraries' filters and labels."""
import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image
from skimage.measure import label

from densevit.evaluation.matting import MattingMetric, matting_errors


def pair(size=(40, 52)):
    rng = np.random.default_rng(0)
    truth = cv2.GaussianBlur(rng.random(size), (0, 0), 3)
    truth = np.clip((truth - .45) * 10, 0, 1)
    prediction = np.clip(truth + cv2.GaussianBlur(rng.normal(size=size), (0, 0), 2), 0, 1)
    return prediction, truth, rng.random(size) < .6


def test_by_hand():
    truth = np.zeros((30, 30))
    truth[5:15, 5:15] = 1
    prediction = truth.copy()
    prediction[5:15, 5:15] = .75
    prediction[20:24, 20:24] = .5  # an island
    found = matting_errors(prediction, truth, np.ones_like(truth, bool))
    assert found['SAD'] == pytest.approx((100 * .25 + 16 * .5) / 1000)
    assert found['MSE'] == pytest.approx(1000 * (100 * .25**2 + 16 * .5**2) / 900)
    # Inside, both are connected up to 0.7: what is above is .05 of the one, less than 0.15, and 0.3 of the other. The
    # island is connected at no opacity.
    assert found['Conn'] == pytest.approx((100 * .3 + 16 * .5) / 1000)
    assert matting_errors(truth, truth, truth == 1) == dict(SAD=0, MSE=0, Grad=0, Conn=0)
    assert matting_errors(prediction, truth, truth == 2) == dict(SAD=0, MSE=0, Grad=0, Conn=0)


def test_gradients_are_those_of_the_benchmark():
    """The kernel written out, over maps that are stretched to [0, 1], with repeated borders."""
    prediction, truth, mask = pair()
    prediction = prediction * .5 + .2
    half = math.ceil(1.4 * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * 1.4 * .01)))
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for y in range(-half, half + 1):
        for x in range(-half, half + 1):
            gauss = [math.exp(-z**2 / (2 * 1.4**2)) / (1.4 * math.sqrt(2 * math.pi)) for z in (x, y)]
            kernel[y + half, x + half] = gauss[1] * -x * gauss[0] / 1.4**2
    kernel /= math.sqrt((kernel**2).sum())
    lengths = []
    for alpha in (prediction, truth):
        alpha = cv2.normalize(alpha, None, 1., 0., cv2.NORM_MINMAX)
        along, down = (cv2.filter2D(alpha, -1, k, borderType=cv2.BORDER_REPLICATE) for k in (kernel, kernel.T))
        lengths.append(np.sqrt(along**2 + down**2))
    expected = ((lengths[0] - lengths[1])**2)[mask].sum() / 1000
    assert matting_errors(prediction, truth, mask)['Grad'] == pytest.approx(expected)


def test_connectivity_is_that_of_the_benchmark():
    prediction, truth, mask = pair()
    steps, levels = np.arange(0, 1.1, .1), np.full(truth.shape, -1.)
    for index in range(1, len(steps)):
        both = (prediction >= steps[index]) & (truth >= steps[index])
        parts, object_ = label(both, connectivity=1), np.zeros(truth.shape, bool)
        if parts.max():
            object_ = parts == max(range(1, parts.max() + 1), key=lambda part: (parts == part).sum())
        levels[(levels == -1) & ~object_] = steps[index - 1]
    levels[levels == -1] = 1
    own, true = ((1 - (alpha - levels) * ((alpha - levels) >= .15)) for alpha in (prediction, truth))
    expected = np.abs(own - true)[mask].sum() / 1000
    assert expected > 0
    assert matting_errors(prediction, truth, mask)['Conn'] == pytest.approx(expected)


def test_metric():
    """The mean over images, of the unknown pixels or all, of predictions rounded to 8 bits unless told otherwise."""
    prediction, truth, _ = pair()
    trimap = np.where(truth == 0, 0, np.where(truth == 1, 1, .5))
    sample = BaseDataElement()
    for name, data in dict(pred_alpha=prediction, gt_alpha=truth, trimap=trimap).items():
        sample.set_field(PixelData(data=torch.from_numpy(data.astype(np.float32))[None]), name)
    for region, mask in (('unknown', trimap == .5), ('whole', trimap >= 0)):
        metric = MattingMetric(region)
        metric.process(None, [sample.to_dict(), sample.to_dict()])
        rounded = [np.round(alpha * 255) / 255 for alpha in (prediction, truth)]
        assert metric.evaluate(2) == {f'{region}/{name}': pytest.approx(value, rel=1e-6) for name, value in
                                      matting_errors(*rounded, mask).items()}
    with pytest.raises(ValueError, match="choose 'unknown' or 'whole'"):
        MattingMetric('known')


def test_metric__what_is_missing_is_said():
    sample = BaseDataElement(metainfo=dict(img_path='cat.png'))
    for name in ('pred_alpha', 'gt_alpha'):
        sample.set_field(PixelData(data=torch.full((1, 4, 6), .5)), name)
    with pytest.raises(ValueError, match=r"cat\.png has no trimap to compare with: give densevit\.LoadAlpha"):
        MattingMetric().process(None, [sample.to_dict()])
    whole = MattingMetric('whole')
    with pytest.raises(ValueError, match='compared no image'):
        whole.evaluate(0)
    whole.process(None, [sample.to_dict()])
    assert whole.evaluate(1)['whole/SAD'] == 0
    del sample.gt_alpha
    with pytest.raises(ValueError, match='has no gt_alpha to compare with: add'):
        whole.process(None, [sample.to_dict()])


def test_pictures(tmp_path):
    """Of as many images as are asked for, in each validation; one that was composed is shown as the model saw it."""
    truth = np.linspace(0, 1, 600).reshape(20, 30)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / 'cat.png')
    samples = []
    for name, meta in (('cat', {}), ('fox', dict(background='sky.jpg')), ('owl', {})):
        sample = BaseDataElement(metainfo=dict(meta, img_path=str(tmp_path / f'{name}.png')))
        for field, data in dict(pred_alpha=truth, gt_alpha=truth**2, trimap=np.full(truth.shape, .5)).items():
            sample.set_field(PixelData(data=torch.from_numpy(data)[None]), field)
        samples.append(sample.to_dict())
    inputs = [torch.zeros(3, 20, 30, dtype=torch.uint8) for _ in samples]
    inputs[1][2] = 255  # red, in BGR order
    metric = MattingMetric(pictures=2, folder=tmp_path / 'run')
    for _ in range(2):
        metric.process(dict(inputs=inputs), samples)
        assert metric.evaluate(3)
        written = sorted((tmp_path / 'run' / 'matting').glob('*'))
        assert [path.name for path in written] == ['cat.png', 'fox.png']
        red = np.asarray(Image.open(written[1]).convert('RGB'))
        assert red.shape[1] > 1500 and ((red == (255, 0, 0)).all(2)).mean() > .05
        written[0].unlink()

"""The metric of restoration: means over images, of what a file would hold, named after the protocol."""
import numpy as np
import pytest
import torch

from densevit.engine.checkpoints import better_end, task_metric
from densevit.evaluation import RestorationMetric, psnr, ssim


def samples(count=3, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        target = torch.randint(256, (3, 20, 24), generator=generator).to(dtype)
        pred = target.float() / 255 + .1 * torch.randn(3, 20, 24, generator=generator)
        yield dict(gt_img=target, pred_img=pred)


def test_means_over_images():
    metric = RestorationMetric(crop_border=2, y_channel=True)
    pairs = list(samples())
    metric.process(None, pairs)
    found = metric.evaluate(len(pairs))
    arrays = [[(sample[key].double().clamp(0, scale) * (255 / scale)).round().permute(1, 2, 0).numpy().astype(np.uint8)
               for key, scale in (('pred_img', 1), ('gt_img', 255))] for sample in pairs]
    options = dict(crop_border=2, y_channel=True)
    assert found == {'Y_border2/PSNR': pytest.approx(np.mean([psnr(*pair, **options) for pair in arrays])),
                     'Y_border2/SSIM': pytest.approx(np.mean([ssim(*pair, **options) for pair in arrays]))}
    assert task_metric(found) == 'Y_border2/PSNR' and better_end('Y_border2/PSNR') == 'greater'


def test_names_of_protocols():
    exact = dict(gt_img=torch.rand(3, 16, 16), pred_img=torch.rand(3, 16, 16))
    with pytest.raises(ValueError, match='uint8'):  # rounded to zeros and ones, equal pictures had 5 dB
        RestorationMetric().process({}, [exact])
    assert RestorationMetric().prefix == 'RGB' and better_end('RGB/LPIPS') == 'less'
    assert RestorationMetric(y_channel=True, round_y=True).prefix == 'rounded_Y'
    for options, said in ((dict(figures=('NIQE', )), 'NIQE'), (dict(figures=('LPIPS', ), y_channel=True), 'RGB')):
        with pytest.raises(ValueError, match=said):
            RestorationMetric(**options)


def test_figures_of_holes():
    """Of hidden pixels alone, whatever the rest is; a sample without a mask says what is missing."""
    metric, pairs = RestorationMetric(['PSNR', 'hole_PSNR']), list(samples())
    for sample in pairs:
        sample['mask'] = torch.zeros(1, 20, 24, dtype=torch.bool)
        sample['mask'][:, 3:9, 4:20] = True
    metric.process(None, pairs)
    parts = RestorationMetric(['PSNR'])
    parts.process(None, [{key: sample[key][:, 3:9, 4:20] for key in ('gt_img', 'pred_img')} for sample in pairs])
    found = metric.evaluate(3)
    assert found['RGB/hole_PSNR'] == pytest.approx(parts.evaluate(3)['RGB/PSNR'])
    assert task_metric(found) == 'RGB/PSNR'
    with pytest.raises(ValueError, match='densevit.Holes'):
        metric.process(None, list(samples()))

"""mmsegmentation's IoUMetric on our data samples, against a confusion matrix."""
from __future__ import annotations

import numpy as np
import torch
from mmseg.evaluation import IoUMetric


def test_miou_is_that_of_the_confusion_matrix():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, (3, 20, 30))
    truth[:, :4] = 255
    guess = np.where(generator.random(truth.shape) < .6, truth % 4, generator.integers(0, 4, truth.shape))
    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=tuple('abcd'))
    for label, pred in zip(truth, guess, strict=True):
        metric.process({}, [dict(
            pred_sem_seg=dict(data=torch.as_tensor(pred)[None]), gt_sem_seg=dict(data=torch.as_tensor(label)[None]))])
    result = metric.evaluate(3)
    valid = truth != 255
    matrix = np.bincount(4 * truth[valid] + guess[valid], minlength=16).reshape(4, 4)
    iou = matrix.diagonal() / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())
    assert abs(result['mIoU'] - 100 * iou.mean()) <= .005  # given to two decimals of a percent
    assert abs(result['aAcc'] - 100 * matrix.trace() / matrix.sum()) <= .005

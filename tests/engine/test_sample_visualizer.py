"""Samples of every task drawn by the visualizer of our configs, built as stock tools build it."""
import numpy as np
import pytest
import torch
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData, PixelData
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample
from PIL import Image

import densevit.registry  # noqa: F401  the scope of the visualizer


def semantic():
    labels = torch.zeros(1, 48, 64, dtype=torch.long)
    labels[:, :, 32:] = 1
    return SegDataSample(gt_sem_seg=PixelData(data=labels))


def instance():
    from mmdet.structures import DetDataSample
    masks = np.zeros((1, 48, 64), bool)
    masks[:, :, 32:] = True
    return DetDataSample(gt_instances=InstanceData(
        bboxes=torch.tensor([[32., 0., 64., 48.]]), labels=torch.tensor([1]), masks=masks))


@pytest.mark.parametrize('sample', [semantic, instance])
def test_annotations_are_drawn(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(Visualizer, '_instance_dict', type(Visualizer._instance_dict)())
    visualizer = VISUALIZERS.build(dict(type='densevit.SampleVisualizer'))
    visualizer.dataset_meta = dict(classes=('wall', 'cell'), palette=[[100, 100, 100], [250, 0, 0]])
    image = np.full((48, 64, 3), 100, np.uint8)
    visualizer.add_datasample('a', image, sample().numpy(), draw_pred=False, out_file=str(tmp_path / 'a.png'))
    drawn = np.asarray(Image.open(tmp_path / 'a.png').convert('RGB')).astype(int)
    left, right = drawn[:, 2:20].mean((0, 1)), drawn[:, 44:62].mean((0, 1))
    assert right[0] > left[0] + 30 and right[2] < left[2] - 20  # the second class is red

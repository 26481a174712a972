"""Every segmentation network under a plain and a hierarchical trunk of the usual sizes: a step and a prediction."""
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from densevit.registry import MODELS

NUM_CLASSES = 5
VIT_S = dict(name='vit_small_patch16_224', img_size=(64, 96))
PLAIN = dict(type='densevit.PlainViT', **VIT_S)
LEVELS = dict(PLAIN, out_indices=(2, 5, 8, 11))
PYRAMID = dict(type='densevit.SimpleFeaturePyramid', vit=VIT_S)
SWIN = dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224', img_size=(64, 96))

# Model, head and the backbones it is tried under.
NETWORKS = {
    'EoMT': ('MaskSegmentor', dict(num_queries=8, num_blocks=3), (PLAIN, )),
    'LinearNet': ('PixelSegmentor', dict(), (LEVELS, SWIN)),
}
ROWS = [pytest.param(name, model, options, backbone, id=f"{name}-{backbone['type'].removeprefix('densevit.')}")
        for name, (model, options, backbones) in NETWORKS.items() for backbone in backbones]


def labelled(height, width):
    labels = torch.arange(width).expand(height, width) * NUM_CLASSES // width
    return BaseDataElement(gt_sem_seg=PixelData(data=labels[None]),
                           metainfo=dict(img_shape=(height, width), ori_shape=(height, width)))


@pytest.mark.parametrize(('name', 'model', 'options', 'backbone'), ROWS)
def test_a_step_and_a_prediction(name, model, options, backbone):
    torch.manual_seed(0)
    segmentor = MODELS.build(dict(type=f'densevit.{model}', backbone=backbone, num_classes=NUM_CLASSES,
                                  head=dict(type=f'densevit.{name}', **options)))
    samples = [labelled(64, 90) for _ in range(2)]
    losses = segmentor(torch.randn(2, 3, 64, 90), samples, mode='loss')
    loss = sum(losses.values())
    assert loss.isfinite()
    loss.backward()
    unreached = [key for key, parameter in segmentor.named_parameters()
                 if parameter.requires_grad and parameter.grad is None]
    assert not unreached  # distributed training waits for each of them
    segmentor.eval()
    with torch.no_grad():
        result = segmentor(torch.randn(1, 3, 64, 90), [labelled(64, 90)], mode='predict')[0]
    assert result.pred_sem_seg.data.shape == (1, 64, 90)
    assert result.pred_sem_seg.data.max() < NUM_CLASSES


def test_every_network_is_tried():
    from densevit.heads.segmentation.networks import SegmentationNetwork
    registered = {name for name, cls in MODELS.module_dict.items() if issubclass(cls, SegmentationNetwork)}
    assert registered == NETWORKS.keys()

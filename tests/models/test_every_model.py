"""The models of all tasks, and one of a task that the package does not have: no class and no mask is in it."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData, PixelData
from models.base import CHECKS, Row
from torch import nn

from densevit.models import DenseModel
from densevit.models.options import MapOptions
from densevit.models.row_maps import StoredMaps, maps_of_images
from densevit.networks.base import Network

EOMT = dict(type='densevit.EoMT', num_queries=12, num_blocks=1)


def classes(sample, size):
    """Five columns of a class each."""
    labels = torch.arange(size[1]).expand(tuple(size)) * 5 // size[1]
    sample.gt_sem_seg = PixelData(data=labels[None])


def instances(sample, size):
    """A thing on the left, and the classes."""
    classes(sample, size)
    masks = torch.zeros(1, *size, dtype=torch.bool)
    masks[..., :size[1] // 2] = True
    sample.gt_instances = InstanceData(labels=torch.tensor([2]), masks=masks)


def let_queries_differ(model):
    """The queries of random weights are alike."""
    generator = torch.Generator().manual_seed(0)
    for layer, width in ((model.network.class_head, 6), (model.network.mask_head, 32)):
        shift = torch.randn(12, width, generator=generator)
        layer.register_forward_hook(lambda _, inputs, output, shift=shift: output + shift)


def metres(sample, size):
    """From 1 m at the left to 3 m at the right."""
    sample.gt_depth_map = PixelData(data=torch.linspace(1, 3, size[1]).expand(1, *size).clone())


class AbsoluteError(nn.Module):
    def forward(self, depth, target):
        return dict(loss_depth=(F.interpolate(depth, target.shape[-2:]) - target).abs().mean())


class DepthNetwork(Network):
    loss_class = AbsoluteError

    def __init__(self, backbone):
        super().__init__(backbone)
        self.depth_head = nn.Conv2d(backbone.out_channels[-1], 1, 1)

    def forward(self, images):
        return self.depth_head(self.backbone(images)[-1])


def clip(depth, max_depth=80.):
    return depth.clamp(-max_depth, max_depth)


class DepthModel(DenseModel):
    task, network_class, options_class = 'depth', DepthNetwork, MapOptions
    postprocessor = staticmethod(clip)

    def loss(self, inputs, data_samples):
        target = torch.stack([sample.gt_depth.data for sample in data_samples])
        return self.criterion(self.network(self.pad(inputs)), self.pad(target))

    def whole_depth(self, images):
        padded = self.pad(images)
        return [StoredMaps(depth, padded.shape[-2:], images.shape[-2:]) for depth in self.network(padded)]

    def predict_each(self, images, samples, options):
        for maps in maps_of_images(images, samples, self.whole_depth, options.windows(len(images))):
            bands = [band for _, band in maps.bands(options.band_bytes(images.device))]
            yield dict(pred_depth=PixelData(data=clip(torch.cat(bands, 1), **options.postprocess)))


ROWS = {
    'semantic masks': Row(
        dict(type='densevit.MaskSegmentor', head=EOMT, num_classes=5, criterion=dict(num_points=64)), classes,
        lambda found: [found.seg_confidence.data, found.pred_sem_seg.data], dict(mode='slide', crop_size=(32, 48)),
        let_queries_differ),
    'instances': Row(
        dict(type='densevit.MaskSegmentor', task='instance', head=EOMT, num_classes=5), instances,
        lambda found: [found.pred_instances[name] for name in ('masks', 'labels', 'scores', 'bboxes')],
        dict(score_threshold=.3), let_queries_differ),
    'panoptic': Row(
        dict(type='densevit.MaskSegmentor', task='panoptic', head=EOMT, num_classes=5, stuff_classes=[0, 1, 3],
             test_cfg=dict(score_threshold=0., overlap_threshold=.1)), instances,
        lambda found: [found.pred_panoptic_seg.sem_seg], dict(overlap_threshold=.9), let_queries_differ),
    'pixels': Row(
        dict(type='densevit.PixelSegmentor', head=dict(type='densevit.LinearNet'), num_classes=5), classes,
        lambda found: [found.seg_confidence.data, found.pred_sem_seg.data], dict(mode='slide', crop_size=(32, 48))),
    'depth': Row(
        dict(type='densevit.MonocularDepth',
             head=dict(type='densevit.LinearDepth', bins=dict(num_bins=8), max_depth=9.)),
        metres, lambda found: [found.pred_depth_map.data], dict(flip=True)),
    'a task of its own': Row(
        dict(type=DepthModel, head=dict(type=DepthNetwork)),
        lambda sample, size: setattr(sample, 'gt_depth', PixelData(data=torch.ones(1, *size))),
        lambda found: [found.pred_depth.data], dict(max_depth=.1)),
}


@pytest.mark.parametrize('check', CHECKS, ids=lambda check: check.__name__.removeprefix('check_'))
@pytest.mark.parametrize('name', ROWS)
def test_every_model(name, check):
    check(ROWS[name])

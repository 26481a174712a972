"""Every segmentation network under a plain and a hierarchical trunk of the usual sizes: a step and a prediction."""
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from densevit.models.segmentation.segmentor import build_network
from densevit.registry import MODELS

NUM_CLASSES = 5
VIT_S = dict(name='vit_small_patch16_224', img_size=(64, 96))
PLAIN = dict(type='densevit.PlainViT', **VIT_S)
LEVELS = dict(PLAIN, out_indices=(2, 5, 8, 11))
PYRAMID = dict(type='densevit.SimpleFeaturePyramid', vit=VIT_S)
SWIN = dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224', img_size=(64, 96))
QUERIES = dict(num_queries=8, embed_dim=32, mask_dim=32)
PEM = dict(QUERIES, pixel_dim=32, ffn_dim=32, decoder_layers=3)

# Model, head and the backbones it is tried under.
NETWORKS = {
    'DPTNet': ('PixelSegmentor', dict(width=32), (LEVELS, PYRAMID, SWIN)),
    'ECOMask2FormerNet': ('MaskSegmentor', dict(QUERIES, decoder_layers=2), (PYRAMID, SWIN)),
    'EoMT': ('MaskSegmentor', dict(num_queries=8, num_blocks=3), (PLAIN, )),
    'KMaXDeepLab': ('MaskSegmentor', dict(num_queries=8, hidden_dim=32, num_heads=4, num_layers=(1, 1, 1), relax=2,
                                          decoder_channels=(32, 32, 16, 16), decoder_depths=(1, 1, 1, 1)),
                    (PYRAMID, SWIN)),
    'LinearNet': ('PixelSegmentor', dict(), (LEVELS, SWIN)),
    'Mask2FormerNet': ('MaskSegmentor', dict(QUERIES, encoder_layers=2, decoder_layers=3), (PYRAMID, SWIN)),
    'MaskFormerNet': ('MaskSegmentor', dict(QUERIES, encoder_layers=1, decoder_layers=2), (PYRAMID, SWIN)),
    'PEM': ('MaskSegmentor', PEM, (PYRAMID, SWIN)),
    'SegFormerNet': ('PixelSegmentor', dict(width=32), (LEVELS, PYRAMID, SWIN)),
    'SegViT': ('MaskSegmentor', dict(embed_dim=24, num_heads=4), (LEVELS, SWIN)),
    'SegViTShrunk': ('MaskSegmentor', dict(embed_dim=24, num_heads=4, query_grid=4, edge_share=.1), (PLAIN, )),
    'ViTP': ('MaskSegmentor', dict(proposer=dict(PEM, type='densevit.PEM', backbone=SWIN)), (PLAIN, )),
    'VPNeXt': ('PixelSegmentor', dict(embed_dim=32, guide_dim=8), (LEVELS, SWIN)),
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


@pytest.mark.parametrize('name', NETWORKS)
def test_what_depends_on_the_number_of_classes_is_known(name):
    _, options, (backbone, *_) = NETWORKS[name]
    network, other = (build_network(dict(options, type=f'densevit.{name}'), backbone, number)
                      for number in (NUM_CLASSES, NUM_CLASSES + 2))
    ours, others = network.state_dict(), other.state_dict()
    found = {key for key in ours if ours[key].shape != others[key].shape}
    assert found and found == set(filter(network.is_of_classes, ours))


def test_every_network_is_tried():
    from densevit.networks.segmentation.base import SegmentationNetwork
    registered = {name for name, cls in MODELS.module_dict.items() if issubclass(cls, SegmentationNetwork)}
    assert registered == NETWORKS.keys()

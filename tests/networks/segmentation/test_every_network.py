"""Every segmentation network: sizes, freezing, saving, a training step, torch.compile and torch.export."""
from functools import partial

import pytest
import torch
from networks.base import (
    Row,
    check_any_size,
    check_compiles,
    check_every_parameter_learns,
    check_exports,
    check_frozen,
    check_saved_and_loaded,
    images_of,
    pyramid,
    vit,
)

from densevit.networks import segmentation
from densevit.networks.segmentation import PEM, MaskNetwork, MaskTarget, PixelNetwork
from densevit.networks.segmentation.base import SegmentationNetwork

NUM_CLASSES = 5
QUERIES = dict(num_queries=6, embed_dim=32, num_heads=2, mask_dim=32)
PEM_SIZES = dict(QUERIES, pixel_dim=16, ffn_dim=32, decoder_layers=3)
MASK2FORMER = dict(QUERIES, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=32, decoder_ffn_dim=32)
# Why a graph is not made.
GATE = 'its gate decides from the image which layers run'
LONG = 'it can be; to trace it takes long, and one of its kind is traced'
TOKENS = 'how many tokens it takes out of the sequence would be that of one size'

ROWS = {
    'DPTNet': Row(partial(vit, depth=4, out_indices=(0, 1, 2, 3)), dict(channels=(8, 12, 16, 20), width=16),
                  compiles=LONG, exports=LONG),
    'ECOMask2FormerNet': Row(pyramid, MASK2FORMER, compiles=GATE, exports=GATE),
    'EoMT': Row(vit, dict(num_queries=6, num_blocks=1)),
    'KMaXDeepLab': Row(pyramid, dict(
        num_queries=6, hidden_dim=32, num_heads=4, num_layers=(1, 1, 1), relax=2, decoder_channels=(16, 16, 8, 8),
        decoder_depths=(1, 1, 1, 1)), compiles=LONG, exports=LONG),
    'LinearNet': Row(partial(vit, out_indices=(0, 1)), compiles=LONG, exports=LONG),
    'Mask2FormerNet': Row(pyramid, MASK2FORMER, dict(encoder_layers=1, decoder_layers=1)),
    'MaskFormerNet': Row(
        pyramid, dict(QUERIES, encoder_layers=1, decoder_layers=2, ffn_dim=32), compiles=LONG, exports=LONG,
        still=('layers.0.self_attn.attn.v_proj.weight', )),  # its queries begin as zeros
    'PEM': Row(pyramid, PEM_SIZES, compiles=LONG, exports=TOKENS),
    'SegFormerNet': Row(pyramid, dict(width=16)),
    'SegViT': Row(partial(vit, depth=3, out_indices=(0, 1, 2)), dict(embed_dim=24, num_heads=4), compiles=LONG,
                  exports=LONG),
    'SegViTShrunk': Row(partial(vit, depth=4), dict(
        embed_dim=24, num_heads=4, num_layers=1, shrink_block=1, query_grid=4, edge_share=.1),
        compiles=LONG, exports=TOKENS),
    'VPNeXt': Row(partial(vit, out_indices=(0, 1)), dict(embed_dim=32, guide_dim=8)),
    'ViTP': Row(vit, dict(proposer=lambda: PEM(pyramid(), NUM_CLASSES, **PEM_SIZES), num_points=8),
                compiles=LONG, exports=TOKENS),
}
CLASSES = {name: cls for name in segmentation.__all__ if isinstance(cls := getattr(segmentation, name), type)
           and issubclass(cls, SegmentationNetwork) and cls not in (MaskNetwork, PixelNetwork)}


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


def build(name, num_classes=NUM_CLASSES, **options):
    return ROWS[name].build(CLASSES[name], num_classes, **options)


def learn(network, size=(64, 96)):
    """The gradients of a training step on three vertical stripes."""
    labels = torch.arange(size[1]).expand(2, *size) * 3 // size[1]
    targets = labels if isinstance(network, PixelNetwork) else [
        MaskTarget(torch.tensor([0, 1, 3]), torch.stack([own == index for index in range(3)])) for own in labels]
    torch.manual_seed(0)
    losses = network.loss_class(NUM_CLASSES)(network(images_of(size)), targets)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()


def test_every_network_has_a_row():
    assert CLASSES.keys() == ROWS.keys()


def test_any_size(name):
    check_any_size(build(name))


def test_a_frozen_backbone_and_a_head_that_learns(name):
    check_frozen(build(name, frozen_stages=1), learn)


def test_every_parameter_learns(name):
    check_every_parameter_learns(build(name), learn, ROWS[name].still)


def test_saved_and_loaded(name):
    check_saved_and_loaded(build(name), build(name, seed=1))


def test_what_depends_on_the_number_of_classes_is_known(name):
    network, other = build(name), build(name, NUM_CLASSES + 2) if name != 'ViTP' else None
    if other is None:  # whose proposer has the same classes
        row = ROWS[name]
        other = CLASSES[name](row.backbone(), 7, PEM(pyramid(), 7, **PEM_SIZES), num_points=8)
    ours, others = network.state_dict(), other.state_dict()
    found = {key for key in ours if ours[key].shape != others[key].shape}
    assert found and found == set(filter(network.is_of_classes, ours))


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.compiles is True])
def test_compiles_as_one_graph_for_all_sizes(name):
    check_compiles(build(name, traced=True))


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.exports is True])
def test_exports_for_all_sizes(name):
    check_exports(build(name, traced=True))

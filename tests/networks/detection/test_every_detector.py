"""Every detection network: sizes, freezing, saving, a training step, torch.compile and torch.export."""
from functools import partial

import pytest
import torch
from networks.base import (
    SIZES,
    Row,
    answer,
    assert_near,
    check_compiles,
    check_every_parameter_learns,
    check_exports,
    check_frozen,
    check_saved_and_loaded,
    images_of,
    vit,
)

from densevit.networks import detection
from densevit.networks.detection import BoxTarget, DetectionNetwork

NUM_CLASSES = 5
LONG = 'it can be; to trace it takes long, and LWDETR is traced'
SMALL_DEIM = dict(embed_dim=32, num_queries=6, num_layers=2, num_heads=2, ffn_dim=32, encoder_ffn_dim=32, num_blocks=1,
                  num_denoising=6)
ROWS = {
    'DEIM': Row(
        partial(vit, depth=4, out_indices=(1, 2, 3)), dict(SMALL_DEIM, side_dim=8), dict(num_layers=1)),
    'LWDETR': Row(
        partial(vit, depth=4, num_windows=2, global_blocks=(1, 3), out_indices=(1, 3)),
        dict(embed_dim=32, num_queries=6, num_groups=3, num_layers=2, num_heads=2, num_cross_heads=4, ffn_dim=32,
             scales=(2., .5), projector_blocks=1),
        dict(num_layers=1)),
    'PlainDETR': Row(
        vit,
        dict(embed_dim=32, num_queries=6, num_many_queries=8, num_layers=2, num_heads=2, ffn_dim=32,
             num_encoder_layers=1, rpb_hidden_dim=8, proposal_size=6.),
        dict(num_layers=1, num_encoder_layers=0), exports='test_plain_detr does it, with larger images'),
    'RFDETRSeg': Row(
        partial(vit, depth=4, num_windows=2, prefix_per_window=True, global_blocks=(2, ), out_indices=(1, 3)),
        dict(embed_dim=32, num_queries=6, num_groups=3, num_layers=2, num_heads=2, num_cross_heads=4, ffn_dim=32,
             projector_norm='layer', projector_blocks=1),
        compiles=LONG, exports=LONG),
}
CLASSES = {name: cls for name in detection.__all__ if isinstance(cls := getattr(detection, name), type)
           and issubclass(cls, DetectionNetwork) and cls is not DetectionNetwork}
TARGETS = [BoxTarget(torch.tensor([1, 4, 1]), torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]]),
                     torch.arange(96).expand(3, 64, 96) < torch.tensor([9, 50, 90]).view(3, 1, 1)),
           BoxTarget(torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), torch.zeros(0, 64, 96, dtype=torch.bool))]


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


def build(name, num_classes=NUM_CLASSES, **options):
    return ROWS[name].build(CLASSES[name], num_classes, **options)


def learn(network, targets=TARGETS):
    torch.manual_seed(0)
    arguments = (images_of((64, 96)), *((targets, ) if network.takes_targets else ()))
    losses = network.loss_class(NUM_CLASSES)(network(*arguments), targets)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()


def test_every_detector_has_a_row():
    assert CLASSES.keys() == ROWS.keys()


@torch.no_grad()
def test_any_size(name):
    """Sizes that no patch, window or level divides, also of fewer cells than queries."""
    network = build(name).eval()
    for size in (*SIZES, (20, 20)):
        batch = images_of(size, 3)
        together, alone = answer(network, batch), answer(network, batch[1:2])
        assert all(part.isfinite().all() and len(part) == 3 for part in together)
        assert_near([part[0] for part in alone], [part[1] for part in together])


def test_a_frozen_backbone_and_a_head_that_learns(name):
    check_frozen(build(name, frozen_stages=1), learn)


def test_every_parameter_learns(name):
    check_every_parameter_learns(build(name), learn, ROWS[name].still)


@torch.no_grad()
def test_boxes_keep_their_digits_in_half_precision(name):
    """Under autocast, and of a network that is half-precision itself."""
    network = build(name).eval()
    whole = answer(network, images_of((64, 96)))[1]
    with torch.autocast('cpu', torch.bfloat16):
        mixed = network(images_of((64, 96)))[-1].boxes
    half = network.bfloat16()(images_of((64, 96)).bfloat16())[-1].boxes
    for boxes in (mixed, half):
        assert boxes.dtype == torch.float32 and boxes.shape == whole.shape and boxes.isfinite().all()
        assert not torch.equal(boxes, boxes.bfloat16().float())


def test_without_objects_every_parameter_has_a_gradient(name):
    """A process of a distributed run may meet such images alone, and waits for every parameter."""
    network = build(name).train()
    learn(network, TARGETS[1:] * 2)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_saved_and_loaded(name):
    check_saved_and_loaded(build(name), build(name, seed=1))


def test_what_depends_on_the_number_of_classes_is_known(name):
    ours, others = build(name).state_dict(), build(name, NUM_CLASSES + 2).state_dict()
    found = {key for key in ours if ours[key].shape != others[key].shape}
    assert found and found == set(filter(build(name).is_of_classes, ours))


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.compiles is True])
def test_compiles_as_one_graph_for_all_sizes(name):
    check_compiles(build(name, traced=True))


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.exports is True])
def test_exports_for_all_sizes(name):
    check_exports(build(name, traced=True))

"""PEM computes what its official code does, layer by layer, and learns as it does."""
import pytest
import torch
from official import assert_close, assert_golden, write_golden
from official_pem import OfficialPEM, official_pem
from randomised import randomise

from densevit import TimmPyramid
from densevit.networks.segmentation import PEM
from densevit.weights.names.pem import read_pem

CHANNELS = (8, 12, 16, 20)
NUM_CLASSES = 5
SIZES = dict(num_queries=7, num_heads=4, decoder_layers=4)
BACKBONE = dict(name='convnext_atto', depths=(1, 1, 1, 1), dims=CHANNELS)
RECORD = 'pem'


def build(**options):
    network = PEM(TimmPyramid(**BACKBONE), NUM_CLASSES, embed_dim=32, ffn_dim=48, pixel_dim=16, mask_dim=24,
                  **{**SIZES, **options})
    return randomise(network, seed=1)  # with masks that differ, one of them empty


def build_official() -> OfficialPEM:
    return official_pem(CHANNELS, pixel_dim=16, mask_dim=24, num_classes=NUM_CLASSES, hidden_dim=32, dim_feedforward=48,
                        num_queries=SIZES['num_queries'], nheads=SIZES['num_heads'], dec_layers=SIZES['decoder_layers'])


def give_values(ours, official):
    """The official modules get the values of ours, by the names that the reader of checkpoints gives them."""
    state = official.state_dict()
    index = {name: torch.full_like(tensor, position) for position, (name, tensor) in enumerate(state.items())}
    _, heads, _, left = read_pem(index)
    own = {name: tensor for name, tensor in ours.state_dict().items() if not name.startswith('backbone.')}
    assert not left and heads.keys() == own.keys()
    names = list(state)
    parts = {}
    for name, tensor in heads.items():
        parts.setdefault(names[int(tensor.flatten()[0])], []).append(own[name])
    official.load_state_dict({name: torch.cat(parts[name]).reshape(state[name].shape) if state[name].dim()
                              else parts[name][0] for name in names})


def maps(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, width, 64 // stride, 96 // stride, generator=generator)
            for width, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


def levels(network, features):
    return [x for prediction in network.decode(network.pixel_decoder(features)) for x in prediction]


@torch.no_grad()
def test_official__same_predictions():
    ours, official = build(empty_masks='first'), build_official()
    give_values(ours, official.eval())
    expected = official(maps())
    assert len(expected) == 2 * (SIZES['decoder_layers'] + 1)
    assert_close(levels(ours, maps()), expected)
    write_golden(RECORD, expected)
    # With the statistics of the batch, which then become the running ones.
    assert_close(levels(ours.train(), maps()), official.train()(maps()))
    assert_close(levels(ours.eval(), maps(1)), official.eval()(maps(1)))


@torch.no_grad()
def test_official__masks_are_put_to_the_test():
    """What the comparisons above see: masks of parts of the image, and an empty one among others."""
    ours = build(empty_masks='first')
    inside = [ours._mask(prediction.masks, (2, 3)) for prediction in ours.decode(ours.pixel_decoder(maps()))]
    empty = (~torch.stack(inside).any(-1)).squeeze(2)  # (layers, B, Q)
    assert empty.any() and not empty.all(-1).any()
    assert .1 < torch.stack(inside).float().mean() < .9


@torch.no_grad()
def test_official__recorded_predictions():
    assert_golden(RECORD, levels(build(empty_masks='first'), maps()))


@pytest.mark.parametrize('training', [True, False])
def test_official__same_gradients(training):
    ours, official = build(empty_masks='first').double(), build_official().double()
    give_values(ours, official)
    for run, model in ((lambda x: levels(ours, x), ours), (official, official)):
        model.train(training)
        outputs = run([x.double() for x in maps()])
        weights = torch.Generator().manual_seed(1)
        sum((x * torch.randn(x.shape, generator=weights).double()).sum() for x in outputs).backward()
    index = {name: torch.full_like(tensor, position) for position, (name, tensor)
             in enumerate(official.named_parameters())}
    _, heads, _, _ = read_pem(index)
    own, theirs = dict(ours.named_parameters()), [p for _, p in official.named_parameters()]
    grads = {}
    for name, tensor in heads.items():
        grads.setdefault(int(tensor.flatten()[0]), []).append(own[name].grad)
    # What a batch norm of the batch's statistics takes out again has no gradient; what is there is rounding.
    floor = 1e-9 * max(parameter.grad.norm() for parameter in theirs)
    assert len(grads) == len(theirs)
    for position, expected in enumerate(theirs):
        grad = torch.cat(grads[position]).reshape(expected.shape)
        assert (grad - expected.grad).norm() <= 1e-4 * expected.grad.norm() + floor, list(index)[position]


def pick(network, empty_queries):
    """Which tokens the queries of the first layer may take, of masks that are empty for some."""
    masks = torch.ones(2, SIZES['num_queries'], 16, 24)
    masks[:, :, :, 12:] = -1.
    for image, queries in enumerate(empty_queries):
        masks[image, queries] = -1.
    return network._mask(masks, (2, 4)).squeeze(1)


def test_empty_masks__read_everything_or_as_the_authors_do():
    half = torch.tensor([True, True, False, False] * 2)
    cases = ([[0, 3], []], [[], range(SIZES['num_queries'])])
    for empty in cases:
        everywhere, first = pick(build(), empty), pick(build(empty_masks='first'), empty)
        for image, queries in enumerate(empty):
            filled = [query for query in range(SIZES['num_queries']) if query not in queries]
            assert (everywhere[image, filled] == half).all() and (first[image, filled] == half).all()
            assert everywhere[image, list(queries)].all()
            assert (first[image, list(queries)] == (not filled)).all()


@torch.no_grad()
def test_prototypes__the_most_similar_token_of_the_mask():
    attention = build().layers[0].cross_attn
    tokens, queries = torch.randn(2, 12, 32), torch.randn(2, 7, 32)
    mask = torch.rand(2, 1, 7, 12) > .6
    mask[0, 0, 2] = False
    found = attention._prototypes(tokens, queries, mask)
    for image in range(2):
        for query in range(7):
            allowed = mask[image, 0, query].nonzero()[:, 0].tolist() or [0]
            for head in range(4):
                part = slice(8 * head, 8 * head + 8)
                best = max(allowed, key=lambda n: float(tokens[image, n, part] @ queries[image, query, part]))
                torch.testing.assert_close(found[image, query, part], tokens[image, best, part])


@torch.no_grad()
def test_autocast__near_single_precision():
    network = PEM(TimmPyramid(**BACKBONE), NUM_CLASSES, embed_dim=32, ffn_dim=48, pixel_dim=16, mask_dim=24,
                  empty_masks='first', **dict(SIZES, decoder_layers=0)).eval()
    images = torch.randn(1, 3, 64, 96)
    expected = network(images)[-1].masks
    with torch.autocast('cpu', torch.bfloat16):
        masks = network(images)[-1].masks
    assert (masks - expected).abs().max() < .1 * expected.abs().max()


def test_train__one_image_is_refused():
    network = build().train()
    with pytest.raises(ValueError, match='batch_size'):
        network(torch.randn(1, 3, 64, 96))


def test_errors__say_what_to_do():
    with pytest.raises(ValueError, match='empty_masks'):
        build(empty_masks='nowhere')
    with pytest.raises(ValueError, match='SimpleFeaturePyramid'):
        PEM(TimmPyramid('convnext_atto', out_indices=(1, 2)), NUM_CLASSES)

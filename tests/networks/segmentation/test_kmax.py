"""k-means Mask Transformer computes what its official code does, at every stage, and reads masks as it does."""
import pytest
import torch
import torch.distributed as dist
from official import assert_close, assert_golden, fill, write_golden
from official_kmax import OfficialKMaX, official_kmax
from randomised import randomise
from torch import nn

from densevit import PlainViT, TimmPyramid
from densevit.layers import resize_bilinear
from densevit.networks.pyramids import require_images
from densevit.networks.segmentation import KMaXDeepLab, KMaXLoss, MaskTarget
from densevit.networks.segmentation.kmax.decoder import KMeansAttention, no_object_bias
from densevit.networks.segmentation.kmax.pixel_decoder import AxialAttention
from densevit.weights.names.kmax import read_kmax

CHANNELS = (8, 12, 16, 20)
NUM_CLASSES = 5
LAYERS = dict(num_queries=7, num_layers=(1, 1, 1), decoder_depths=(1, 2, 1, 1),
              decoder_kinds=('axial', 'axial', 'bottleneck', 'bottleneck'))
# One level of the decoder is as wide as the backbone's: it is fused as it is.
SIZES = dict(LAYERS, decoder_channels=(16, 16, 8, 8))
BACKBONE = dict(name='convnext_atto', depths=(1, 1, 1, 1), dims=CHANNELS)
TINY = dict(LAYERS, hidden_dim=32, num_heads=4, decoder_channels=(16, 16, 8, 8))
# Image sizes for networks whose corner pixels lie on each other, and for others.
CASES = [pytest.param((65, 129), True, id='corners'), pytest.param((64, 128), False, id='multiples')]


def build(**options):
    network = KMaXDeepLab(TimmPyramid(**BACKBONE), NUM_CLASSES, **{**SIZES, **options})
    fill(network)
    for name, buffer in network.named_buffers():
        if name.endswith('running_var'):  # a chain of norms by next to nothing would say more of rounding than of code
            buffer.clamp_(min=.5)
    return network.eval()


def give_values(ours: nn.Module, official: OfficialKMaX) -> None:
    """The official modules get the values of ours, by the names that the reader of checkpoints gives them."""
    state = official.state_dict()
    index = {name: torch.full((2, ), float(position)) for position, name in enumerate(state)}
    _, heads, _, left = read_kmax(index)
    own = {name: tensor for name, tensor in ours.state_dict().items() if not name.startswith('backbone.')}
    assert not left and heads.keys() == own.keys()
    names = list(state)
    given = {names[int(position[0])]: own[name].clone() for name, position in heads.items()}
    for name, tensor in given.items():
        if name.endswith('class_head.conv.bias'):  # the official code adds a constant instead
            tensor[-1] -= no_object_bias(NUM_CLASSES)
    official.load_state_dict(given)


def maps(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, width, *(-(-side // stride) for side in size), generator=generator)
            for width, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


class Maps(nn.Module):
    """Stands for a backbone: gives maps for whatever image."""
    strides = (4, 8, 16, 32)

    def __init__(self, maps):
        super().__init__()
        self.maps = tuple(maps)

    def forward(self, images):
        return self.maps


def run(network, size, seed=0):
    network.backbone = Maps(maps(size, seed))
    return network(torch.zeros(2, 3, *size))


def levels(predictions):
    return [x for prediction in predictions for x in prediction if x is not None]


def expected_levels(out, train):
    parts = [part[key] for part in (*out['aux_outputs'], out) for key in ('pred_masks', 'pred_logits', 'pixel_feature')]
    return [*parts, out['aux_semantic_pred']] if train else parts


def at_final_size(network, size):
    """Levels in eval mode, as the official code gives them."""
    predictions = run(network, size)
    final = predictions[-1].masks.shape[-2:]
    return [x if x.dim() == 3 else resize_bilinear(x, final, network.corner_aligned) for x in levels(predictions)]


@torch.no_grad()
@pytest.mark.parametrize(('size', 'corners'), CASES)
def test_official__same_predictions(size, corners):
    ours = build(corner_aligned=corners)
    official = official_kmax(CHANNELS, size, NUM_CLASSES, **SIZES).eval()
    give_values(ours, official)
    expected = expected_levels(official(maps(size)), train=False)
    assert_close(at_final_size(ours, size), expected)
    write_golden(f'kmax_{"corners" if corners else "multiples"}', expected)
    for module in (*ours.modules(), *official.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.
    # With the statistics of the batch, which then become the running ones.
    assert_close(levels(run(ours.train(), size)), expected_levels(official.train()(maps(size)), train=True))
    assert_close(levels(run(ours.eval(), size, 1)[-1:]), expected_levels(official.eval()(maps(size, 1)), False)[-3:])


@torch.no_grad()
@pytest.mark.parametrize(('size', 'corners'), CASES)
def test_official__recorded_predictions(size, corners):
    assert_golden(f'kmax_{"corners" if corners else "multiples"}', at_final_size(build(corner_aligned=corners), size))


def tiny(backbone=None, **options):
    torch.manual_seed(0)
    return KMaXDeepLab(backbone or TimmPyramid(**BACKBONE), NUM_CLASSES, **{**TINY, **options})


def test_every_parameter_learns():
    """In one step from random values; branches that end in a norm of weight 0 would hide those before."""
    for options in [{}, dict(relax=2), dict(semantic=False)]:
        network = randomise(tiny(**options)).train()
        targets = [MaskTarget(torch.arange(3), torch.rand(3, 64, 96) > .5) for _ in range(2)]
        losses = KMaXLoss(NUM_CLASSES)(network(torch.randn(2, 3, 64, 96)), targets)
        sum(losses.values()).backward()
        still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not still


def test_before_learning_nothing_is_an_object_and_masks_share_pixels():
    answer = tiny().eval()(torch.randn(1, 3, 64, 96))[-1]
    assert (answer.classes.softmax(-1)[..., -1] - .9).abs().max() < .05
    assert answer.pixels.norm(dim=1).sub(1).abs().max() < 1e-5


@torch.no_grad()
def test_any_size_and_any_number_of_images():
    network = tiny().eval()
    images = torch.randn(2, 3, 96, 160)
    both = network(images)
    alone = network(images[1:])
    assert [x.masks.shape[-2:] for x in both] == [(3, 5), (6, 10), (12, 20), (24, 40)]
    assert_close([x.masks[1:] for x in both], [x.masks for x in alone])


@torch.no_grad()
def test_distances_beyond_the_last_learned_one_share_it():
    attention = randomise(AxialAttention(8, 8, 16, 2))
    assert attention(torch.randn(1, 8, 300)).isfinite().all()


@torch.no_grad()
def test_queries_move_to_the_sum_of_their_pixels():
    attention = KMeansAttention(16).eval()
    attention.norm, attention.project = nn.Identity(), nn.Identity()
    pixels, masks = torch.randn(1, 16, 3, 5), torch.randn(1, 4, 3, 5)
    moved = attention(pixels, masks)
    values, owner = attention.value(pixels), masks.argmax(1)[0]
    for query in range(4):
        torch.testing.assert_close(moved[0, :, query], values[0, :, owner == query].sum(1))


def test_train__one_image_is_refused_where_it_is_normalised_alone(monkeypatch):
    image = torch.randn(1, 3, 64, 96)
    with pytest.raises(ValueError, match='KMaXDeepLab.*batch_size'):
        tiny().train()(image)
    tiny(semantic=False).train()(image)  # has no norm of one value per image
    # Of two processes, synchronised norms get two images, and plain ones one.
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(dist, 'get_world_size', lambda group=None: 2)
    require_images(nn.SyncBatchNorm(4), 1, 'KMaXDeepLab')
    with pytest.raises(ValueError, match='sync_bn'):
        tiny().train()(image)


def test_mixed_precision_learns_and_answers():
    network = randomise(tiny(relax=2)).train()
    images, loss = torch.randn(2, 3, 64, 96), KMaXLoss(NUM_CLASSES, eta=.1)
    targets = [MaskTarget(torch.arange(3), torch.rand(3, 64, 96) > .5) for _ in range(2)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = loss(network(images), targets)
        sum(losses.values()).backward()
        answer = network.eval()(images)[-1]
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert answer.masks.isfinite().all() and answer.classes.isfinite().all()


@torch.no_grad()
def test_no_semantic_segmentation_when_it_is_not_learned():
    network = tiny(relax=2).train()
    images = torch.randn(2, 3, 64, 96)
    train = network(images)
    # Two layers of one level would teach its branch twice.
    assert [x.semantic is not None for x in train] == [True, True, False, True]
    assert [x.relaxed is not None for x in train] == [True, True, False, False]
    assert all(x.semantic is None and x.relaxed is None for x in network.eval()(images))
    shared = tiny(relax=2, num_layers=(2, 1, 1)).train()(images)
    assert [x.semantic is not None for x in shared] == [True, False, False, False, True]
    assert [x.relaxed is not None for x in shared] == [True, True, False, False, False]


def test_wrong_options_are_explained():
    with pytest.raises(ValueError, match=r'gives \(16,\): choose its out_indices, or put a plain ViT into'):
        tiny(PlainViT('vit_tiny_patch16_224', img_size=64, depth=1, embed_dim=16, num_heads=2))
    with pytest.raises(ValueError, match='relax=4, but there are 3 decoder layers'):
        tiny(relax=4)
    with pytest.raises(ValueError, match='give the decoder layers of strides 32, 16 and 8'):
        tiny(num_layers=(2, 2))
    with pytest.raises(ValueError, match='hidden_dim=36: choose a multiple of 8'):
        tiny(hidden_dim=36)
    with pytest.raises(ValueError, match='need 4 entries'):
        tiny(decoder_channels=(16, 16, 8))
    with pytest.raises(ValueError, match="decoder_kinds has 'global'"):
        tiny(decoder_kinds=('global', ) * 4)
    with pytest.raises(ValueError, match='4 heads do not divide 18 and 36 channels'):
        tiny(decoder_channels=(18, 16, 8, 8))
    with pytest.raises(ValueError, match=r'32 k \+ 1 pixels on each side, such as 1281, and not of \(64, 97\)'):
        tiny(corner_aligned=True).eval()(torch.zeros(1, 3, 64, 97))
    assert tiny().size_divisor == 32 and tiny(corner_aligned=True).size_divisor == 1

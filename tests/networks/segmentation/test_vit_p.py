"""ViT-P: a frozen network's masks, classified at points as the official classifier does."""
import pytest
import torch
from official import assert_close, assert_golden, fill, write_golden
from official_vit_p import official_vit_p
from torch import nn

from densevit import PlainViT, TimmPyramid, load_weights
from densevit.networks.segmentation import PEM, EoMT, MaskNetwork, MaskPrediction, MaskTarget, ViTP
from densevit.networks.segmentation.vit_p.points import PointClassificationLoss, draw_points, peak_points

NUM_CLASSES = 5
NUM_POINTS = 6
NUM_MASKS = 7
# The official code makes positions for 518 pixels whatever img_size is.
PATCH, SIDE = 74, 518
SIZES = dict(embed_dim=32, depth=2, num_heads=2)
IMAGE_SIZES = {'square': (SIDE, SIDE), 'wide': (5 * PATCH, 9 * PATCH)}


class Proposer(MaskNetwork):
    """Gives the masks and classes that it holds."""

    def __init__(self, masks, classes):
        super().__init__(PlainViT(embed_dim=32, depth=1, num_heads=2, img_size=32), classes.shape[-1] - 1)
        self.masks, self.classes = nn.Parameter(masks), nn.Parameter(classes)
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return [MaskPrediction(self.masks.expand(len(images), -1, -1, -1), self.classes.expand(len(images), -1, -1))]


def classifier(**options):
    return PlainViT(**{**SIZES, 'patch_size': 16, 'img_size': (64, 96), **options})


def proposer(num_masks=NUM_MASKS):
    generator = torch.Generator().manual_seed(1)
    return Proposer(torch.randn(1, num_masks, 16, 24, generator=generator),
                    torch.randn(1, num_masks, NUM_CLASSES + 1, generator=generator))


def build(backbone=None, **options):
    torch.manual_seed(0)
    return ViTP(backbone or classifier(), NUM_CLASSES, **{'proposer': proposer(), 'num_points': NUM_MASKS, **options})


def build_like_official():
    backbone = PlainViT(**SIZES, patch_size=PATCH, img_size=SIDE, init_values=1., pos_embed_antialias=False,
                        pos_embed_offset=.1)
    return build(backbone).eval()


def official_classifier():
    official = official_vit_p(num_classes=NUM_CLASSES, n_points=NUM_POINTS, img_size=(SIDE, SIDE), patch_size=PATCH,
                              init_values=1., block_chunks=0, **SIZES)
    fill(official)
    return official.eval()


def points_and_images(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = 2 * torch.rand(2, NUM_POINTS, 2, generator=generator) - 1
    return points, torch.randn(2, 3, *IMAGE_SIZES[size], generator=generator)


@torch.no_grad()
def test_official__same_classes_at_the_size_of_its_checkpoints():
    """Read from a checkpoint, whose positions the official code stretches even where they fit."""
    official, ours = official_classifier(), build_like_official()
    report = load_weights(ours, official.state_dict())
    assert not report.missing or all(name.startswith('proposer.') for name in report.missing)
    points, images = points_and_images('square')
    expected = official(images, points)
    assert_close([ours.classify(images, points).flatten(0, 1)], [expected])


def give_values(ours, official):
    state = official.state_dict()
    own = ours.state_dict()
    for name in state:
        if name.startswith('cls_embeddings.'):
            state[name] = own['point_embed.weight']
        elif name.startswith('head.'):
            state[name] = own['class_' + name]
        elif name != 'mask_token':
            state[name] = own['backbone.trunk.' + name]
    official.load_state_dict(state)


def build_filled():
    ours = build_like_official()
    fill(ours)
    nn.init.zeros_(ours.backbone.trunk.cls_token)
    return ours


@torch.no_grad()
def test_official__same_classes_at_another_size():
    ours, official = build_filled(), official_classifier()
    give_values(ours, official)
    points, images = points_and_images('wide')
    expected = official(images, points)
    assert_close([ours.classify(images, points).flatten(0, 1)], [expected])
    write_golden('vit_p', [expected])


@torch.no_grad()
def test_official__recorded_classes():
    points, images = points_and_images('wide')
    assert_golden('vit_p', [build_filled().classify(images, points).flatten(0, 1)])


def test_official__same_loss_and_gradients():
    ours, official = build_filled().double(), official_classifier().double()
    give_values(ours, official)
    points, images = (x.double() for x in points_and_images('wide'))
    labels = torch.arange(2 * NUM_POINTS).remainder(NUM_CLASSES).view(2, NUM_POINTS)
    expected = official(images, points, labels)
    loss = nn.functional.cross_entropy(ours.classify(images, points).flatten(0, 1), labels.flatten())
    torch.testing.assert_close(loss, expected)
    expected.backward()
    loss.backward()
    for name, theirs in (('point_embed', official.cls_embeddings), ('class_head', official.head)):
        torch.testing.assert_close(getattr(ours, name).weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.backbone.trunk.patch_embed.proj.weight.grad, official.patch_embed.proj.weight.grad)


def test_peaks__centre_of_the_largest_cell():
    masks = torch.zeros(1, 2, 4, 8)
    masks[0, 0, 3, 0] = masks[0, 1, 0, 5] = 1.
    expected = torch.tensor([[[.75, -.875], [-.75, .375]]])
    torch.testing.assert_close(peak_points(masks), expected)


@torch.no_grad()
def test_predict__masks_of_the_proposer_classes_of_both():
    for alpha in [0., .4, 1.]:
        network = build(alpha=alpha).eval()
        images = torch.randn(2, 3, 64, 96)
        masks, classes = network(images)[-1]
        proposed = network.proposer(images)[-1]
        torch.testing.assert_close(masks, proposed.masks)
        q = network.classify(images, peak_points(masks)).softmax(-1)
        p = proposed.classes[..., :-1].softmax(-1)
        nothing = proposed.classes.softmax(-1)[..., -1:]
        mixed = p**(1 - alpha) * q**alpha
        expected = torch.cat((mixed / mixed.sum(-1, keepdim=True) * (1 - nothing), nothing), -1)
        torch.testing.assert_close(classes.softmax(-1), expected)
        if alpha == 0:
            torch.testing.assert_close(classes.softmax(-1), proposed.classes.softmax(-1))


@torch.no_grad()
def test_predict__a_certain_proposer_gives_finite_logits():
    certain = proposer()
    certain.classes.mul_(1e4)
    assert torch.isfinite(build(proposer=certain).eval()(torch.randn(1, 3, 64, 96))[-1].classes).all()


@torch.no_grad()
def test_predict__many_masks_in_several_passes():
    network = build(num_points=3, alpha=1.).eval()
    images = torch.randn(2, 3, 64, 96)
    masks, classes = network(images)[-1]
    points = torch.cat((peak_points(masks), network.fillers[:2].expand(2, -1, -1)), dim=1)
    parts = [network.classify(images, few) for few in points.split(3, dim=1)]
    torch.testing.assert_close(classes[..., :-1].softmax(-1), torch.cat(parts, 1)[:, :NUM_MASKS].softmax(-1))


@torch.no_grad()
def test_predict__as_many_points_at_once_as_in_training():
    for num_masks in [1, 7, 10, 13]:
        network = build(num_points=10, proposer=proposer(num_masks)).train()
        seen = []
        network.backbone.trunk.blocks[0].register_forward_pre_hook(
            lambda _, args, seen=seen: seen.append(args[0].shape[1]))
        everywhere = MaskTarget(torch.tensor([2]), torch.ones(1, 64, 96, dtype=torch.bool))
        images = torch.randn(1, 3, 64, 96)
        PointClassificationLoss(NUM_CLASSES)(network(images), [everywhere])
        assert network.eval()(images)[-1].classes.shape[1] == num_masks
        assert set(seen) == {10 + 4 * 6} and len(seen) == 1 + -(-num_masks // 10)
        assert network.fillers.abs().max() <= 1 and network.fillers.std(0).min() > .4


TRUNKS = {
    'class token': {},
    'registers': dict(reg_tokens=3, no_embed_class=True),
    'no class token': dict(class_token=False),
    'SAM': dict(family='sam', window_size=0),
    'rotary positions': dict(name='eva02_tiny_patch14_224', img_size=(56, 84), patch_size=14),
}


@pytest.mark.parametrize('trunk', TRUNKS)
@torch.no_grad()
def test_points__their_order_is_that_of_the_logits(trunk):
    network = build(classifier(**TRUNKS[trunk]))
    fill(network)
    network.eval()
    points, images = 2 * torch.rand(1, 5, 2) - 1, torch.randn(1, 3, 56, 84)
    logits, order = network.classify(images, points), torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(network.classify(images, points[:, order]), logits[:, order], atol=1e-4, rtol=1e-4)
    assert (logits[0, 0] - logits[0, 1]).abs().max() > 1e-2 * logits.std()
    assert network.classify(images, points[:, :1]).shape == (1, 1, NUM_CLASSES)


@torch.no_grad()
def test_image_size__resized_for_the_classifier_alone():
    network = build(image_size=(64, 64)).eval()
    assert network.size_divisor == 16
    images = torch.randn(1, 3, 96, 160)
    points = 2 * torch.rand(1, 4, 2) - 1
    resized = nn.functional.interpolate(images, (64, 64), mode='bilinear', antialias=True)
    torch.testing.assert_close(network.classify(images, points), network.classify(resized, points))
    assert network(images)[-1].masks.shape == (1, 7, 16, 24)  # as the proposer gave them


@torch.no_grad()
def test_reading__as_the_proposer_is_read():
    class Competing(Proposer):
        panoptic_reader = type('Reader', (), {})

        def sigmoid_logits(self, masks):
            return masks.softmax(1).logit(1e-6)

    held = proposer()
    network = build(proposer=Competing(held.masks, held.classes)).eval()
    assert network.masks_compete and not build().masks_compete
    assert network.panoptic_reader is Competing.panoptic_reader
    torch.testing.assert_close(network.sigmoid_logits(held.masks), held.masks.softmax(1).logit(1e-6))


def test_size_divisor__whole_patches_of_those_who_see_the_image():
    network = build(classifier(patch_size=14, img_size=(56, 84)))
    assert (network.eval().size_divisor, network.train().size_divisor) == (112, 14)
    network = build(image_size=(64, 64))
    assert (network.eval().size_divisor, network.train().size_divisor) == (16, 1)


def test_train__the_proposer_rests():
    swin = TimmPyramid('convnext_atto', depths=(1, 1, 1, 1), dims=(8, 12, 16, 20))
    network = build(proposer=PEM(swin, NUM_CLASSES, embed_dim=32, num_heads=2, decoder_layers=1, ffn_dim=32,
                                 pixel_dim=16, mask_dim=16)).train()
    before = {name: tensor.clone() for name, tensor in network.proposer.state_dict().items()}
    labels = torch.tensor([0, 3])
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, :, :40], masks[1, :, 40:] = True, True
    predictions = network(torch.randn(2, 3, 64, 96))
    loss = PointClassificationLoss(NUM_CLASSES)(predictions, [MaskTarget(labels, masks)] * 2)['loss_cls']
    loss.backward()
    assert not network.proposer.training and not any(m.training for m in network.proposer.modules())
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith('proposer.'), name
    torch.testing.assert_close(dict(network.proposer.state_dict()), before)


def test_train__proposals_are_not_computed():
    network = build().train()
    prediction = network(torch.randn(2, 3, 64, 96))[-1]
    assert network.proposer.calls == 0 and prediction.masks.shape[1] == prediction.classes.shape[1] == 0
    network.eval()(torch.randn(2, 3, 64, 96))
    assert network.proposer.calls == 1


def halves():
    """A large segment and a small one of two pieces; part of the image is unlabelled."""
    masks = torch.zeros(3, 20, 30, dtype=torch.bool)
    masks[0, :, :20] = True
    masks[1, 2, 25], masks[2, 17:19, 27] = True, True
    return MaskTarget(torch.tensor([4, 1, 1]), masks)


def pixel_of(points, size):
    return ((points + 1) / 2 * torch.tensor(size)).long().unbind(-1)


def test_points__classes_alike_whatever_their_size():
    torch.manual_seed(0)
    target = halves()
    points, labels = draw_points(target, 3000)
    assert points.abs().max() < 1
    rows, columns = pixel_of(points, (20, 30))
    for label in (1, 4):
        inside = target.masks[target.labels == label].any(0)
        assert inside[rows[labels == label], columns[labels == label]].all()
    assert .45 < (labels == 1).float().mean() < .55 and set(labels.tolist()) == {1, 4}
    assert len({*zip(rows[labels == 1].tolist(), columns[labels == 1].tolist(), strict=True)}) == 3
    assert len(set(columns[labels == 4].tolist())) == 20


def test_points__boxes_are_filled_and_segments_alike():
    torch.manual_seed(0)
    target = halves()
    target.masks[0] = False
    target.masks[0, 4, 3] = target.masks[0, 9, 18] = True  # two corners of a box
    points, labels = draw_points(target, 3000, annotation='box')
    rows, columns = pixel_of(points[labels == 4], (20, 30))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 9, 3, 18)
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == 6 * 16
    assert .62 < (labels == 1).float().mean() < .71  # two of three segments


@pytest.mark.parametrize('masks', [torch.zeros(0, 64, 96), torch.zeros(2, 64, 96)])
def test_loss__images_without_labels(masks):
    network, loss = build(num_points=4).train(), PointClassificationLoss(NUM_CLASSES)
    empty = MaskTarget(torch.zeros(len(masks), dtype=torch.long), masks.bool())
    images = torch.randn(2, 3, 64, 96)
    alone = loss(network(images), [empty] * 2)['loss_cls']
    alone.backward()
    assert alone == 0 and all(p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)
    full = MaskTarget(torch.tensor([2]), torch.ones(1, 64, 96, dtype=torch.bool))
    torch.manual_seed(0)
    beside = loss(network(images), [full, empty])['loss_cls']
    points = torch.zeros(2, 4, 2)
    torch.manual_seed(0)
    points[0] = draw_points(full, 4).points
    points[1] = draw_points(empty, 4).points
    expected = nn.functional.cross_entropy(network.classify(images, points)[0], torch.full((4, ), 2))
    torch.testing.assert_close(beside, expected)


def test_loss__learns_what_lies_at_a_point():
    """Left and right of an image of noise: only the point tells them apart."""
    torch.manual_seed(0)
    network = build(classifier(img_size=32, patch_size=16), num_points=32).train()
    optimizer = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), 1e-2)
    loss = PointClassificationLoss(NUM_CLASSES)
    left = torch.arange(32).expand(32, 32) < 16
    targets = [MaskTarget(torch.tensor([1, 3]), torch.stack((left, ~left)))] * 2
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(network(torch.randn(2, 3, 32, 32)), targets)['loss_cls']
        value.backward()
        optimizer.step()
    assert value < .25  # ln 2 for one who does not look


def test_points__on_a_ray_from_the_centre_differ_without_class_token():
    network = build(classifier(class_token=False), num_points=3).eval()
    points = torch.tensor([[[.1, .2], [.3, .6], [.45, .9]]])
    embedded = network.point_embed(points)
    tokens = network.backbone.trunk.blocks[0].norm1(embedded)
    assert (tokens[0, 0] - tokens[0, 2]).abs().mean() > .1
    assert build().point_embed.bias is None  # the class token is the constant


def test_errors__say_what_to_do():
    for options, error, message in (
        (dict(proposer=dict(type='densevit.EoMT')), TypeError, 'type and backbone'),
        (dict(alpha=1.5), ValueError, 'alpha=1.5'),
        (dict(num_points=0), ValueError, 'num_points=0'),
        (dict(proposer=Proposer(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 9))), ValueError, 'same classes'),
        (dict(backbone=classifier(window_size=2)), ValueError, 'leave out window_size'),
    ):
        with pytest.raises(error, match=message):
            build(**options)
    with pytest.raises(ValueError, match="choose 'mask' or 'box'"):
        PointClassificationLoss(NUM_CLASSES, annotation='point')


@torch.no_grad()
def test_eomt__is_a_proposer():
    eomt = EoMT(PlainViT(embed_dim=32, depth=3, num_heads=2, img_size=(64, 96)), NUM_CLASSES, num_queries=6,
                num_blocks=2)
    network = build(proposer=eomt).eval()
    images = torch.randn(1, 3, 64, 96)
    predictions = network(images)
    assert len(predictions) == 1  # intermediate masks are not classified
    torch.testing.assert_close(predictions[-1].masks, eomt(images)[-1].masks)

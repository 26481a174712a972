import official_segvit as authors
import pytest
import torch
import torch.nn.functional as F
from official import assert_close, assert_golden, fill, write_golden
from torch import nn

from densevit.backbones import PlainViT
from densevit.backbones.contract import Backbone
from densevit.networks.segmentation import MaskPrediction, MaskTarget, SegViT, SegViTLoss

NUM_CLASSES, DIM, HEADS = 5, 24, 4
GRID = (4, 6)
SIZE = (64, 64)  # the authors resize masks to a square


class Given(Backbone):
    """Gives maps that were made before."""

    def __init__(self, strides=(16, 16, 16), channels=32):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.strides, self.out_channels = tuple(strides), (channels, ) * len(strides)
        self.maps = [torch.randn(2, channels, GRID[0] * 16 // stride, GRID[1] * 16 // stride, generator=generator)
                     for stride in strides]

    def forward(self, images):
        return tuple(self.maps)


def images():
    return torch.zeros(2, 3, 64, 96)


def labels():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(NUM_CLASSES - 1, (2, 4, 4), generator=generator)
    coarse[0, 0, 0], coarse[1] = 255, coarse[1].clamp(max=1)
    return coarse.repeat_interleave(16, 1).repeat_interleave(16, 2)


def build(backbone=None, **kwargs):
    network = SegViT(backbone or Given(), NUM_CLASSES, DIM, HEADS, num_layers=2, dropout=0., **kwargs)
    fill(network)
    return network.train()


def outputs(predictions):
    """As the authors compare them: the answer at the size of the image."""
    *earlier, last = predictions
    last = last._replace(masks=F.interpolate(last.masks, SIZE, mode='bilinear'))
    return [x for prediction in (*earlier, last) for x in prediction]


def ordered(losses, stages=3):
    names = [f'd{index}.' for index in range(stages - 1)] + ['']
    return [losses[f'{name}loss_{kind}'] for name in names for kind in ('cls', 'mask', 'dice')]


def test_official__predictions_and_losses():
    ours = build()
    theirs = authors.official('decode_heads.atm_head', 'ATMHead', SIZE[0], 32, DIM, 2, HEADS, 3, channels=32,
                              num_classes=NUM_CLASSES)
    state = ours.state_dict()
    values = {'q.weight': state['query.weight'], 'class_embed.weight': state['class_head.weight'],
              'class_embed.bias': state['class_head.bias'], **authors.projections(3, state)}
    for index in range(3):
        values |= authors.decoder_layers(f'decoder_{index + 1}', f'stages.{index}', 2, state)
    theirs.load_state_dict(values)
    out = authors.all_predictions(theirs, ours.backbone.maps, GRID)
    expected = authors.flat(out)
    predictions = ours(images())
    assert_close(outputs(predictions), expected)
    expected_losses = authors.losses(out, labels(), NUM_CLASSES)
    torch.testing.assert_close(ordered(SegViTLoss(NUM_CLASSES)(predictions, authors.targets(labels()))),
                               expected_losses, rtol=1e-5, atol=1e-6)
    write_golden('segvit', [*expected, torch.stack(expected_losses)])


def test_official__recorded():
    predictions = build()(images())
    losses = ordered(SegViTLoss(NUM_CLASSES)(predictions, authors.targets(labels())))
    assert_golden('segvit', [*outputs(predictions), torch.stack(losses)])


def test_masks_are_the_attention_before_the_softmax():
    """PyTorch's attention with the same weights gives the softmax of each head's similarities."""
    network = build(Given((16, )))
    layer, seen = network.stages[0][-1], {}
    layer.cross_attention.register_forward_hook(lambda module, args, result: seen.update(args=args, result=result))
    masks = network(images())[-1].masks.flatten(2)
    attention = layer.cross_attention
    q, k = attention.q_proj(seen['args'][0]), attention.k_proj(seen['args'][1])
    per_head = [a @ b.transpose(1, 2) / (DIM // HEADS)**.5
                for a, b in zip(q.chunk(HEADS, -1), k.chunk(HEADS, -1), strict=True)]
    torch.testing.assert_close(masks, sum(per_head) / HEADS)
    reference = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    with torch.no_grad():
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        reference.in_proj_weight.copy_(torch.cat([part.weight for part in projections]))
        reference.in_proj_bias.copy_(torch.cat([part.bias for part in projections]))
        reference.out_proj.load_state_dict(attention.out_proj.state_dict())
    read, weights = reference(*seen['args'], seen['args'][1], average_attn_weights=False)
    torch.testing.assert_close(read, seen['result'][0])
    torch.testing.assert_close(weights, torch.stack([x.softmax(-1) for x in per_head], 1))


def test_levels_of_different_strides():
    """Read from the coarsest; all masks at the finest, the sum of those so far."""
    network = build(Given((8, 16, 32)))
    predictions = network(images())
    assert [p.masks.shape for p in predictions] == [(2, NUM_CLASSES, 8, 12)] * 3
    backbone = network.backbone
    backbone.maps = [torch.zeros_like(backbone.maps[0]), *backbone.maps[1:]]
    changed = network(images())
    torch.testing.assert_close(changed[1].masks, predictions[1].masks)
    fine = changed[2].masks - changed[1].masks
    torch.testing.assert_close(fine, fine.mean((2, 3), keepdim=True).expand_as(fine))
    assert network.eval()(images())[0].masks.equal(changed[2].masks)


def test_evaluation_gives_the_answer_alone_at_any_size():
    torch.manual_seed(0)
    backbone = PlainViT(img_size=(64, 96), embed_dim=32, depth=3, num_heads=2, out_indices=(0, 1, 2), norm_out=False)
    network = SegViT(backbone, NUM_CLASSES, DIM, HEADS).eval()
    batch = torch.randn(2, 3, 40, 100)
    (answer, ) = network(batch)
    assert answer.masks.shape == (2, NUM_CLASSES, 3, 7) and answer.classes.shape == (2, NUM_CLASSES, NUM_CLASSES + 1)
    torch.testing.assert_close(network(batch[1:])[0].masks, answer.masks[1:])


def test_loss__an_image_without_labels():
    shapes = ((1, 3, 4, 4), (1, 3, 4))
    predictions = [MaskPrediction(*(torch.randn(shape, requires_grad=True) for shape in shapes))]
    empty = [MaskTarget(torch.zeros(0, dtype=torch.long), torch.zeros(0, 8, 8, dtype=torch.bool))]
    losses = SegViTLoss(3)(predictions, empty)
    assert losses['loss_mask'] == losses['loss_dice'] == 0 and losses['loss_cls'] > 0
    sum(losses.values()).backward()
    assert predictions[0].masks.grad is not None


def test_loss__two_segments_of_a_class_are_refused():
    prediction = MaskPrediction(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4))
    twice = MaskTarget(torch.tensor([1, 1]), torch.zeros(2, 8, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match="task='semantic'"):
        SegViTLoss(3)([prediction], [twice])


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match='num_heads=5'):
        SegViT(Given(), NUM_CLASSES, DIM, 5)

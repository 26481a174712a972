"""Plain DETR: predictions, training losses and gradients of the authors' code with the same weights."""
import pytest
import torch
from official import assert_close, assert_golden, write_golden
from official_plain_detr import REPEATS, OfficialPlainDETR
from randomised import randomise

from densevit import PlainViT, TimmPyramid, load_weights
from densevit.layers.boxes import refine_boxes
from densevit.networks.detection import BoxTarget, HybridSetLoss, PlainDETR
from densevit.networks.detection.plain_detr.box_rpb import BoxCrossAttention, attend_with_axis_biases
from densevit.networks.detection.plain_detr.hybrid_loss import deltas_to
from densevit.weights.names.plain_detr import read_plain_detr

CLASSES, SIZE = 5, (128, 192)
LIMITS = torch.tensor([192., 128., 192., 128.])
TARGETS = [BoxTarget(torch.tensor([1, 4, 1]), torch.tensor([[.3, .3, .2, .4], [.6, .7, .5, .3], [.5, .5, .1, .1]])),
           BoxTarget(torch.tensor([0]), torch.tensor([[.2, .8, .3, .2]]))]
# The last stage attends to the whole map, by weights that know windows of three cells.
SWIN = dict(name='swinv2_tiny_window8_256', embed_dim=16, depths=(1, 1, 2, 2), num_heads=(1, 2, 2, 4), window_size=4,
            drop_path_rate=0., out_indices=3, norm_out=True, global_blocks=(-2, -1),
            pretrained_window_sizes=(0, 0, 0, 3))


def build(num_classes=CLASSES, **options):
    network = PlainDETR(TimmPyramid(**SWIN), num_classes, embed_dim=32, num_queries=6, num_many_queries=10,
                        num_layers=3, num_heads=4, ffn_dim=48, upsample=2, rpb_hidden_dim=24, **options)
    return tame(randomise(network, 1))


@torch.no_grad()
def tame(network):
    """Boxes and biases that do not leave the image by their size: distances are hundreds of pixels."""
    for name, parameter in network.named_parameters():
        if 'box_head' in name and '.4.' in name:
            parameter.mul_(.2)
        if '_bias.linear1.weight' in name:
            parameter.mul_(.02)
    return network


def build_official(ours, scale='linear'):
    """The authors' network with the values of ours, by the names that the reader of checkpoints gives them."""
    official = OfficialPlainDETR(CLASSES, scale)
    state = {name: tensor for name, tensor in official.network.state_dict().items() if 'relative_' not in name}
    index = {name: torch.full(tensor.shape, float(position)) for position, (name, tensor) in enumerate(state.items())}
    translated = read_plain_detr(index, ours)
    own = ours.state_dict()
    assert own.keys() <= translated.state.keys()
    names, parts = list(state), {}
    for name in translated.state.keys() & own.keys():
        part = own[name]
        order = next((at for at, letter in enumerate('qkv') if f'self_attn.{letter}_proj' in name), 0)
        parts.setdefault(names[int(translated.state[name].flatten()[0])], {})[order] = part
    values = {name: torch.cat([part[order] for order in sorted(part)]) for name, part in parts.items()}
    values.update({f'transformer.decoder.{name}': value for name, value in values.items() if '_embed.' in name
                   and name.startswith(('class_embed', 'bbox_embed'))})
    missing = official.network.load_state_dict(
        {name: value.reshape(state[name].shape) for name, value in values.items()}, strict=False)
    assert not missing.unexpected_keys and all('relative_' in name for name in missing.missing_keys)
    official.network.eval()
    return official


def images(size=SIZE):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def predictions(network):
    answer = network(images())[-1]
    return [answer.logits[:, 0], answer.boxes[:, 0]]


def their_predictions(official):
    out = official(images())
    return [out['pred_logits'], out['pred_boxes'] / LIMITS]


def their_targets():
    return [dict(labels=target.labels, boxes=target.boxes * LIMITS) for target in TARGETS]


def learned(network):
    """Losses in the order of their names; the GroupNorm and LayerNorms do not differ in train mode."""
    losses = HybridSetLoss(CLASSES, num_repeats=REPEATS)(network.train()(images()), TARGETS)
    return {name: losses[name] for name in sorted(losses)}


@pytest.mark.parametrize('scale, theirs', [('linear', 'linear'), ('log', 'abs_log8')])
def test_official__same_predictions_losses_and_gradients(scale, theirs):
    ours = build(rpb_scale=scale)
    official = build_official(ours, theirs)
    with torch.no_grad():
        expected = their_predictions(official)
        assert_close(predictions(ours), expected)
    losses, their_losses = learned(ours), official.losses(images(), their_targets())
    assert len(losses) == len(their_losses) == 3 * (3 + 3 + 1)
    for branch, end in (('', ''), ('many.', '_one2many')):
        for layer, number in (('d0.', '_0'), ('d1.', '_1'), ('', '')):
            for own, their in (('cls', 'ce'), ('bbox', 'bbox'), ('iou', 'giou')):
                torch.testing.assert_close(losses[f'{branch}{layer}loss_{own}'],
                                           their_losses[f'loss_{their}{number}{end}'], rtol=1e-4, atol=1e-5)
    for own, their in (('cls', 'ce'), ('bbox', 'bbox'), ('iou', 'giou')):
        torch.testing.assert_close(losses[f'cells.loss_{own}'], their_losses[f'loss_{their}_enc'], rtol=1e-4, atol=1e-5)
    sum(losses.values()).backward()
    sum(their_losses.values()).backward()
    network = official.network
    assert_close([ours.query_embed.weight.grad, ours.box_head[0][0].weight.grad, ours.input_proj[0].weight.grad,
                  ours.layers[0].cross_attn.x_bias.linear1.weight.grad, ours.upsample[0].weight.grad],
                 [network.query_embed.weight.grad, network.bbox_embed[0].layers[0].weight.grad,
                  network.input_proj[0][0].weight.grad,
                  network.transformer.decoder.layers[0].cross_attn.cpb_mlp1[0].weight.grad,
                  network.backbone[0].upsample[0].weight.grad], 1e-3)
    if scale == 'linear':
        write_golden('plain_detr', [*expected, torch.stack([losses[name].detach() for name in losses])])


def test_official__recorded_predictions_and_losses():
    ours = build()
    with torch.no_grad():
        found = predictions(ours)
    assert_golden('plain_detr', [*found, torch.stack([loss.detach() for loss in learned(ours).values()])])


def test_official_checkpoint_is_read(tmp_path):
    ours = build()
    official = build_official(ours)
    torch.save(dict(model=official.network.state_dict()), tmp_path / 'theirs.pth')
    other = randomise(build(), 2)
    report = load_weights(other, tmp_path / 'theirs.pth')
    assert not report.missing
    assert all('relative_' in name or 'transformer.decoder.' in name for name in report.left)
    with torch.no_grad():
        assert_close(predictions(other), their_predictions(official))


def test_biases_of_two_axes_are_those_of_a_whole_map():
    """Outputs and gradients of attention with the sum of both biases for each pixel, at an odd width."""
    generator = torch.Generator().manual_seed(0)
    h, w, dim, queries, heads = 3, 5, 7, 4, 2
    shapes = [(2, heads, queries, dim), (2, heads, h * w, dim), (2, heads, h * w, dim), (2, heads, queries, h),
              (2, heads, queries, w)]
    parts = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
    q, k, v, rows, columns = parts
    bias = (rows.unsqueeze(-1) + columns.unsqueeze(-2)).flatten(-2)
    expected = (q @ k.transpose(-1, -2) * dim**-.5 + bias).softmax(-1) @ v
    found = attend_with_axis_biases(*parts)
    assert_close([found], [expected])
    assert_close(torch.autograd.grad(found.square().sum(), parts), torch.autograd.grad(expected.square().sum(), parts))


def test_attention_keeps_nothing_of_queries_times_pixels():
    """What a training step keeps of a layer grows with the sides of the map, not with its pixels times queries."""
    layer, side, saved = BoxCrossAttention(32, 8, 16).train(), 32, []
    boxes, query = torch.rand(1, 500, 4) * 100., torch.rand(1, 500, 32, requires_grad=True)
    memory = torch.rand(1, side * side, 32, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x):
        layer(query, boxes, memory, memory, (side, side), 16)
    assert saved and max(saved) < .2 * 8 * 500 * side * side


def test_deltas_are_what_refines_a_box():
    boxes, others = (torch.rand(9, 4, generator=torch.Generator().manual_seed(seed)) * 90. + 10. for seed in range(2))
    larger = boxes + torch.tensor([0., 0., .1, .1])  # as the authors count the sides of references
    torch.testing.assert_close(refine_boxes(larger, deltas_to(boxes, others)), others)


@torch.no_grad()
def test_exported_program_takes_other_sizes():
    network = tame(randomise(PlainDETR(
        PlainViT(embed_dim=32, depth=1, num_heads=2, patch_size=16, img_size=64), CLASSES, embed_dim=32, num_queries=6,
        num_many_queries=0, num_layers=1, num_heads=2, ffn_dim=32, rpb_hidden_dim=8)))
    dims = {dim: torch.export.Dim.DYNAMIC for dim in (0, 2, 3)}
    program = torch.export.export(network, (images((144, 176)), ), strict=False, dynamic_shapes=(dims, )).module()
    for size in ((160, 131), (195, 256)):
        assert_close(program(images(size))[-1][:2], network(images(size))[-1][:2], 1e-3)


def test_wrong_options_are_told():
    with pytest.raises(ValueError, match='out_indices'):
        PlainDETR(TimmPyramid(**{**SWIN, 'out_indices': (2, 3)}), CLASSES)
    with pytest.raises(ValueError, match='head.upsample=3'):
        PlainDETR(TimmPyramid(**SWIN), CLASSES, upsample=3)
    with pytest.raises(ValueError, match='head.embed_dim=48'):
        PlainDETR(TimmPyramid(**SWIN), CLASSES, embed_dim=48)

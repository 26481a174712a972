from dataclasses import replace
from functools import partial

import official_segvit as authors
import pytest
import torch
import torch.nn.functional as F
from official import assert_close, assert_golden, fill, write_golden
from randomised import randomise

from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.segmentation import MaskTarget, SegViTShrunk
from densevit.networks.segmentation.segvit.loss import SegViTShrunkLoss, edge_patches
from densevit.networks.segmentation.segvit.shrunk import keep_tokens

NUM_CLASSES, DIM, HEADS, WIDTH = 5, 24, 4, 32


def build(name=None, shrink_block=1, query_grid=4, **kwargs):
    options = dict(name=name) if name else dict(class_token=False)
    backbone = PlainViT(img_size=64, embed_dim=WIDTH, depth=4, num_heads=2, norm_out=False, **options)
    network = SegViTShrunk(backbone, NUM_CLASSES, DIM, HEADS, num_layers=2, dropout=0., shrink_block=shrink_block,
                           query_grid=query_grid, **kwargs)
    fill(network)
    return network.train()


def images(height=64, width=64):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def outputs(predictions, size=(64, 64)):
    *earlier, last = predictions
    last = last._replace(masks=F.interpolate(last.masks, size, mode='bilinear'))
    return [x for prediction in (*earlier, last) for x in prediction[:2]]


def official_vit(ours):
    """The authors' shrinking ViT with our blocks; it takes tokens."""
    vit = authors.official('backbone.vit_shrink', 'vit_shrink', 1, 64, 16, 3, WIDTH, 4, 2, 4, (0, 3))
    state = ours.backbone.trunk.blocks.state_dict()
    pairs = {'norm1': 'norm1', 'norm2': 'norm2', 'attention.in_proj_': 'attn.qkv.', 'attention.out_proj': 'attn.proj',
             'mlp.0': 'mlp.fc1', 'mlp.2': 'mlp.fc2'}
    vit.load_state_dict({
        'cls_token': vit.cls_token.detach(),
        **{f'layers.{i}.{their}.{kind}'.replace('_.', '_'): state[f'{i}.{own}.{kind}'.replace('..', '.')]
           for i in range(4) for their, own in pairs.items() for kind in ('weight', 'bias')}})
    return vit


def official_head(ours):
    head = authors.official('decode_heads.tpn_atm_head', 'TPNATMHead', 64, WIDTH, DIM, 2, HEADS, 2, channels=WIDTH,
                            num_classes=NUM_CLASSES)
    state = ours.state_dict()
    own = {name.removeprefix('upsampling.'): x for name, x in state.items() if name.startswith('upsampling.')}
    head.load_state_dict({
        'q.weight': state['patch_queries'].flatten(2)[0].T, **authors.projections(2, state),
        **{f'decoder_{int(name[0]) + 1}.layers.{name[2:]}': x for name, x in own.items()},
        'atm.q.weight': state['query.weight'], 'atm.class_embed.weight': state['class_head.weight'],
        'atm.class_embed.bias': state['class_head.bias'],
        **authors.decoder_layers('atm.decoder_1', 'decoder', 2, state)})
    return head


def test_official__tokens_and_predictions():
    ours = build()
    levels = official_vit(ours)(ours.backbone.embed(images()).x)
    assert [level.shape[1] for level in levels] == [16, 4]
    expected = authors.flat(authors.all_predictions(official_head(ours), list(levels)))
    assert_close(outputs(ours(images())), expected)
    write_golden('segvit_shrunk', expected)


def test_official__recorded():
    assert_golden('segvit_shrunk', outputs(build()(images())))


@pytest.mark.parametrize('name', ['vit_small_patch16_dinov3', 'eva02_small_patch14_224', 'beit_base_patch16_224',
                                  'vit_small_patch14_reg4_dinov2'])
def test_any_trunk_any_size_and_the_batch_does_not_matter(name):
    for share in [0., .25]:
        patch = {} if 'beit' not in name else dict(use_rel_pos_bias=True)
        backbone = PlainViT(name, img_size=64, patch_size=16, embed_dim=WIDTH, depth=4, num_heads=2, **patch)
        network = SegViTShrunk(backbone, NUM_CLASSES, DIM, HEADS, 1, shrink_block=1, query_grid=4, edge_share=share)
        randomise(network)
        batch = images(50, 90)
        with torch.no_grad():
            (answer, ) = network(batch)
            (alone, ) = network(batch[1:])
        assert answer.masks.shape == (2, NUM_CLASSES, 4, 6)
        assert_close([alone.masks, alone.classes], [answer.masks[1:], answer.classes[1:]])


def sam():
    return PlainViT(family='sam', img_size=64, embed_dim=WIDTH, depth=4, num_heads=2, window_size=0)


def test_a_sam_trunk_is_shrunk():
    for share in [0., .25]:
        network = randomise(SegViTShrunk(
            sam(), NUM_CLASSES, DIM, HEADS, 1, shrink_block=1, query_grid=4, edge_share=share))
        assert network(images(50, 90))[0].masks.shape == (2, NUM_CLASSES, 4, 6)


def test_kept_tokens_keep_their_rotary_positions():
    """Shrinking commutes with attention that is told where tokens are: here, of the kept tokens among themselves."""
    backbone = PlainViT('vit_small_patch16_dinov3', img_size=64, embed_dim=WIDTH, depth=2, num_heads=2)
    randomise(backbone)
    tokens = backbone.embed(images(64, 96))
    edges = torch.randn(2, *tokens.grid, generator=torch.Generator().manual_seed(1))
    kept = keep_tokens(tokens, edges, .25)
    assert kept.grid == (2, 3) and kept.num_prefix == tokens.num_prefix + 6
    shrunk = backbone.run(kept, 0, 1).x
    for index in range(2):
        regular = [0, 2, 4, 12, 14, 16]
        free = [x for x in range(24) if x not in regular]
        best = sorted(free, key=lambda x: -edges[index].flatten()[x])[:6]
        order = [*range(tokens.num_prefix), *(tokens.num_prefix + x for x in (*best, *regular))]
        torch.testing.assert_close(kept.x[index], tokens.x[index, order])
        # The same by a mask over all tokens, at their own places.
        mask = torch.zeros(1, 1, 29, 29, dtype=torch.bool)
        mask[..., order] = True
        whole = backbone.run(replace(tokens, x=tokens.x[index:index + 1]), 0, 1, mask).x[0, order]
        assert_close([shrunk[index]], [whole])


def test_edges__patches_that_a_border_crosses():
    labels = torch.zeros(32, 48, dtype=torch.long)
    labels[:, 20:] = 1  # within the second column of patches
    labels[16:, :16] = 2  # along the borders of patches
    masks = torch.stack([labels == label for label in range(3)])
    assert edge_patches(masks, (2, 3)).tolist() == [[False, True, False]] * 2
    assert not edge_patches(masks[:0], (2, 3)).any()


def test_edges__are_learned_and_kept():
    torch.manual_seed(0)
    network = build(edge_share=.25)
    labels = torch.zeros(2, 64, 64, dtype=torch.long)
    labels[:, 24:, 40:] = 3
    targets = [MaskTarget(torch.tensor([0, 3]), torch.stack([own == 0, own == 3])) for own in labels]
    loss = SegViTShrunkLoss(NUM_CLASSES, edge_weight=2.)
    predictions = network(images())
    losses = loss(predictions, targets)
    wanted = torch.zeros(4, 4)
    wanted[1, 2:], wanted[1:, 2] = 1, 1
    logits = predictions[-1].edges
    by_hand = -(wanted * logits.sigmoid().log() + (1 - wanted) * (1 - logits.sigmoid()).log()).mean()
    torch.testing.assert_close(losses['loss_edge'], 2 * by_hand)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert 'loss_edge' not in loss(build()(images()), targets)


def test_aux_head__classifies_labelled_pixels_in_training():
    network = build(aux_head=True)
    labels = torch.zeros(2, 64, 64, dtype=torch.long)
    labels[:, 24:, 40:], labels[1, :8] = 3, 255
    targets = [MaskTarget(torch.tensor([0, 3]), torch.stack([own == 0, own == 3])) for own in labels]
    predictions = network(images())
    losses = SegViTShrunkLoss(NUM_CLASSES, aux_weight=2.)(predictions, targets)
    logits = F.interpolate(predictions[-1].patches, (64, 64), mode='bilinear')
    torch.testing.assert_close(losses['loss_aux'], 2 * F.cross_entropy(logits, labels, ignore_index=255))
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.eval()(images())[0].patches is None


def test_most_blocks_run_on_a_quarter_of_the_tokens():
    network, lengths = build().eval(), []
    for block in network.backbone.trunk.blocks:
        block.register_forward_hook(lambda module, args, result: lengths.append(args[0].shape[1]))
    network(images())
    assert lengths == [16, 16, 4, 4]


def test_wrong_arguments_are_explained():
    for make, message in [
        (partial(build, shrink_block=3), 'shrink_block=3'),
        (partial(build, edge_share=.8), 'edge_share=0.8'),
        (lambda: SegViTShrunk(PlainViT(img_size=64, embed_dim=WIDTH, depth=4, num_heads=2, window_size=2), 5,
                              shrink_block=2), 'global_blocks'),
        (lambda: SegViTShrunk(TimmPyramid('resnet18'), 5), 'choose densevit.SegViT'),
    ]:
        with pytest.raises(ValueError, match=message):
            make()

"""What fits is resized and reported, what does not is refused and leaves the model as it was."""
from __future__ import annotations

import pytest
import torch
from randomised import randomise
from tiny_models import TINY, random_eomt, random_timm, random_trunk

from densevit.backbones import PlainViT
from densevit.layers import resize_patch_embed, resize_pos_embed
from densevit.models import MaskSegmentor
from densevit.registry import MODELS
from densevit.weights import WeightsError, load_weights
from densevit.weights.renaming import rename
from densevit.weights.translate import Translated, reads

DINOV2 = 'vit_small_patch14_reg4_dinov2'


def assert_refused(model, source, match, **kwargs):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=match) as error:
        load_weights(model, source, **kwargs)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return str(error.value)


def assert_equal_states(model, other):
    state = other.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('file', ['w.pth', 'w.safetensors'])
def test_own_checkpoints(tmp_path, file, images):
    from safetensors.torch import save_file

    source, model = random_eomt(seed=1), random_eomt(seed=2)
    source.set_mask_probs([0., 0.])
    if file == 'w.pth':
        torch.save({'state_dict': source.state_dict(), 'meta': {}}, tmp_path / file)
    else:
        save_file(source.state_dict(), tmp_path / file)
    report = load_weights(model, tmp_path / file)
    assert report.naming == "the model's own" and len(report.loaded) == len(source.state_dict())
    assert not (report.left or report.missing or report.resized)
    assert str(tmp_path / file) in str(report) and '83 tensors loaded' in str(report)
    assert_equal_states(model, source)
    assert len(model(images)) == 1  # the masks are off in Python too
    assert torch.equal(model(images)[-1].masks, source(images)[-1].masks)


def segmentor():
    return MaskSegmentor(dict(type='densevit.PlainViT', name=DINOV2, img_size=64, patch_size=16, **TINY),
                         dict(type='densevit.EoMT', num_queries=10, num_blocks=2), num_classes=7)


def test_segmentor_checkpoint_into_segmentor_network_and_backbone():
    source = randomise(segmentor(), 1)
    state = {'state_dict': {**source.state_dict(), 'criterion.empty_weight': torch.ones(8)}}
    model = randomise(segmentor(), 2)
    assert load_weights(model, state).left == ('criterion.empty_weight', )
    assert_equal_states(model, source)
    network = random_eomt()
    load_weights(network, state)
    assert_equal_states(network, source.network)
    trunk = random_trunk(DINOV2, img_size=64, patch_size=16)
    assert 'network.query.weight' in load_weights(trunk, state).left
    assert_equal_states(trunk, source.backbone)


def test_half_precision_is_widened():
    source, model = random_eomt(seed=1), random_eomt(seed=2)
    load_weights(model, {name: tensor.half() for name, tensor in source.state_dict().items()})
    assert model.query.weight.dtype == torch.float32
    torch.testing.assert_close(model.query.weight, source.query.weight, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('method', ['pinv', 'bilinear', 'bicubic'])
def test_patch_embedding_14_to_16(method):
    source = random_timm(DINOV2, img_size=70)
    model = random_trunk(DINOV2, img_size=80, patch_size=16)
    report = load_weights(model, source.state_dict(), patch_resize=method)
    assert report.resized == {'trunk.patch_embed.proj.weight': ((32, 3, 14, 14), (32, 3, 16, 16))}
    assert '32x3x14x14 -> 32x3x16x16' in str(report)
    expected = resize_patch_embed(source.patch_embed.proj.weight, (16, 16), method)
    assert torch.equal(model.trunk.patch_embed.proj.weight, expected)


def test_patch_embedding_is_resized_as_timm_does():
    source = random_timm(DINOV2, img_size=518)
    reference = random_timm(DINOV2, seed=3, img_size=(64, 96), patch_size=16)
    from timm.models.vision_transformer import checkpoint_filter_fn
    reference.load_state_dict(checkpoint_filter_fn(source.state_dict(), reference))
    model = random_trunk(DINOV2, img_size=(64, 96), patch_size=16)
    report = load_weights(model, source.state_dict())
    assert report.resized['trunk.pos_embed'] == ((1, 37 * 37, 32), (1, 4 * 6, 32))
    images = torch.randn(1, 3, 64, 96)
    expected = reference.forward_intermediates(images, indices=1, intermediates_only=True, norm=True)[-1]
    torch.testing.assert_close(model(images)[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize('antialias, offset', [(True, 0.), (False, .1)])
def test_positions_are_resized_with_the_options_of_the_backbone(antialias, offset):
    source = random_timm('vit_small_patch14_dinov2', img_size=518)
    model = random_trunk('vit_small_patch14_dinov2', img_size=(56, 98), pos_embed_antialias=antialias,
                         pos_embed_offset=offset)
    load_weights(model, source.state_dict())
    expected = resize_pos_embed(source.pos_embed, (4, 7), (37, 37), 1, antialias, offset)
    assert torch.equal(model.trunk.pos_embed, expected)


def test_square_positions_are_not_read_as_a_rectangle_of_as_many():
    source = random_timm('vit_small_patch16_224', img_size=64)  # 4x4
    model = random_trunk('vit_small_patch16_224', img_size=(32, 128))  # 2x8
    report = load_weights(model, source.state_dict())
    assert torch.equal(model.trunk.pos_embed, resize_pos_embed(source.pos_embed, (2, 8), (4, 4), 1))
    assert 'trunk.pos_embed' in report.resized
    again = random_trunk('vit_small_patch16_224', seed=4, img_size=(32, 128))
    assert not load_weights(again, model.state_dict()).resized
    assert_equal_states(again, model)


def test_sam_positions_are_resized():
    source = random_trunk('samvit_base_patch16', img_size=96, global_attn_indexes=(1, ))
    model = random_trunk('samvit_base_patch16', img_size=64, global_attn_indexes=(1, ))
    report = load_weights(model, source.trunk.state_dict())
    assert report.resized['trunk.pos_embed'] == ((1, 6, 6, 32), (1, 4, 4, 32))
    assert report.resized['trunk.blocks.1.attn.rel_pos_h'] == ((11, 8), (7, 8))


def test_rectangular_positions_of_another_size_are_refused():
    source = random_trunk('vit_small_patch16_224', img_size=(32, 96))
    assert_refused(random_trunk('vit_small_patch16_224', img_size=64), source.state_dict(),
                   'trunk.pos_embed: 1x13x32 in the checkpoint, 1x17x32 in the model')


def test_another_number_of_classes():
    source, model = random_eomt(seed=1, num_classes=19), random_eomt(seed=2)
    message = assert_refused(model, source.state_dict(), 'set num_classes=19, or pass load_class_head=False')
    assert 'class_head.weight: 20x32 in the checkpoint, 8x32 in the model' in message
    own = model.class_head.weight.clone()
    report = load_weights(model, source.state_dict(), load_class_head=False)
    assert report.left == report.missing == ('class_head.weight', 'class_head.bias')
    assert torch.equal(model.class_head.weight, own) and torch.equal(model.query.weight, source.query.weight)


@pytest.mark.parametrize('options, said', [
    (dict(num_queries=20), 'set num_queries=20'),
    (dict(num_blocks=3), 'set num_blocks=3'),
])
def test_other_queries_and_blocks(options, said):
    assert_refused(random_eomt(), random_eomt(**options).state_dict(), said)


def test_another_architecture():
    small = PlainViT('vit_small_patch16_224', img_size=32, embed_dim=384, num_heads=6, depth=12)
    large = PlainViT('vit_small_patch16_224', img_size=32, embed_dim=768, num_heads=6, depth=12)
    message = assert_refused(large, small.state_dict(), r'is a ViT-S/16 \(embed_dim 384, depth 12\), the model a ViT-B')
    assert 'trunk.cls_token: 1x1x384 in the checkpoint, 1x1x768 in the model' in message
    assert len(message.splitlines()) < 15


def test_another_family():
    dinov3 = random_timm('vit_small_patch16_dinov3_qkvb', img_size=64)
    assert_refused(random_trunk(DINOV2, img_size=64, patch_size=16), dinov3.state_dict(),
                   r'is a DINOv3 ViT/16 \(embed_dim 32, depth 4\), the model a DINOv2 with registers ViT/16')


@pytest.mark.parametrize('depths', [(4, 6), (6, 4)])
def test_another_depth(depths):
    theirs, ours = (random_trunk('vit_small_patch16_224', img_size=64, depth=depth) for depth in depths)
    assert_refused(ours, theirs.state_dict(), rf'depth {depths[0]}\), the model a .*depth {depths[1]}\)')


def test_a_backbone_is_not_a_segmentor(images):
    source, model = random_timm(DINOV2, img_size=64, patch_size=16), random_eomt()
    assert_refused(model, source.state_dict(), 'holds a backbone and no heads')
    report = load_weights(model, source.state_dict(), strict=False)
    assert 'query.weight' in report.missing and 'query.weight' in str(report)
    assert torch.equal(model.backbone.trunk.norm.weight, source.norm.weight)


def test_missing_and_unexpected_tensors():
    state = random_eomt(seed=1).state_dict()
    del state['mask_head.2.bias']
    state['mask_head.9.bias'] = torch.zeros(1)
    model = random_eomt()
    message = assert_refused(model, state, 'does not fit')
    assert 'only in the checkpoint: mask_head.9.bias' in message and 'only in the model: mask_head.2.bias' in message
    report = load_weights(model, state, strict=False)
    assert report.missing == ('mask_head.2.bias', ) and report.left == ('mask_head.9.bias', )


def test_shapes_must_agree_even_if_not_strict():
    state = random_eomt(seed=1).state_dict()
    state['mask_head.0.weight'] = torch.zeros(3, 3)
    assert_refused(random_eomt(), state, '3x3 in the checkpoint, 32x32 in the model', strict=False)
    assert_refused(random_eomt(), {'backbone.trunk.blocks.0.norm1.weight': torch.zeros(32), 'query.weight':
                                   torch.zeros(10, 32)}, 'only in the model')


def test_any_module_under_its_own_names():
    source, model = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    load_weights(model, {'state_dict': source.state_dict()})
    assert_equal_states(model, source)
    assert_refused(torch.nn.Linear(3, 4), source.state_dict(), '2x3 in the checkpoint, 4x3 in the model')
    assert_refused(model, {'x': torch.zeros(1)}, 'only in the checkpoint: x', strict=True)
    assert_refused(model, {'x': torch.zeros(1)}, 'none of the tensors', strict=False)


class Foreign(PlainViT):
    """A network of another package, which has a reader of its own."""


@reads(Foreign)
def read_foreign(state, module):
    if 'theirs.weight' not in state:
        return None
    renamed, left = rename(state, ((r'theirs\.(.+)', r'trunk.norm.\1'), (r'ema\..+', None)))
    return Translated('foreign', renamed, left)


def test_a_reader_of_another_package__before_those_of_the_base_class():
    model = Foreign(DINOV2, **TINY)
    state = {'theirs.weight': torch.rand(32), 'theirs.bias': torch.rand(32), 'ema.weight': torch.rand(3)}
    report = load_weights(model, state, strict=False)
    assert report.naming == 'foreign' and report.left == ('ema.weight', )
    assert torch.equal(model.trunk.norm.weight, state['theirs.weight'])
    assert load_weights(model, random_timm(DINOV2).state_dict()).naming == 'timm'


def test_init_cfg_of_a_registered_backbone(tmp_path):
    source = random_timm('vit_small_patch16_224', img_size=64)
    torch.save({'model': source.state_dict()}, tmp_path / 'mae.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'mae.pth'))
    backbone = MODELS.build(dict(
        type='densevit.PlainViT', name='vit_small_patch16_224', img_size=64, init_cfg=init_cfg, **TINY))
    backbone.init_weights()
    assert torch.equal(backbone.trunk.norm.weight, source.norm.weight)

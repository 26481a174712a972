"""SegFormer's decoder against transformers' on the same maps, in training mode too."""
import pytest
import torch
from randomised import randomise

from densevit.backbones import PlainViT, TimmPyramid
from densevit.networks.segmentation import SegFormerNet

SWIN = dict(embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), drop_path_rate=0.)


def build(**kwargs):
    trunk = TimmPyramid('swin_tiny_patch4_window7_224', **SWIN)
    return randomise(SegFormerNet(trunk, 5, **{'width': 24, 'dropout': 0., **kwargs}))


def transformers_head(model):
    """transformers' head with the weights of ours."""
    segformer = pytest.importorskip('transformers.models.segformer.modeling_segformer', reason='needs transformers')
    head = segformer.SegformerDecodeHead(segformer.SegformerConfig(
        hidden_sizes=list(model.backbone.out_channels), decoder_hidden_size=24, num_labels=5,
        classifier_dropout_prob=0.))
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith('project.'):
            index, kind = name.split('.')[1:]
            state[f'linear_projections.{index}.proj.{kind}'] = tensor.flatten(1) if kind == 'weight' else tensor
        elif not name.startswith('backbone.'):
            state[name.replace('fuse.', 'linear_fuse.').replace('norm.', 'batch_norm.')] = tensor
    head.load_state_dict(state)
    return head


@pytest.mark.parametrize('training', [False, True])
@torch.no_grad()
def test_equals_transformers(training):
    model = build()
    reference = transformers_head(model)
    images = torch.randn(2, 3, 75, 100)
    maps = model.backbone(images)
    actual = model.train(training)(images)
    expected = reference.train(training)(maps)
    assert len(actual) == 1 and actual[0].shape == (2, 5, 19, 25) and expected.std() > .1
    torch.testing.assert_close(actual[0], expected, rtol=0, atol=1e-4 * expected.std().item())
    for name in ('running_mean', 'running_var'):
        torch.testing.assert_close(getattr(model.norm, name), getattr(reference.batch_norm, name))


@torch.no_grad()
def test_levels_of_one_stride():
    trunk = PlainViT(embed_dim=32, depth=3, num_heads=2, img_size=64, out_indices=(0, 2))
    model = randomise(SegFormerNet(trunk, 5, width=24))
    images = torch.randn(2, 3, 50, 70)
    first, second = (torch.nn.functional.conv2d(x, part.weight, part.bias)
                     for x, part in zip(trunk(images), model.project, strict=True))
    expected = model.classifier(model.norm(model.fuse(torch.cat((second, first), 1))).relu())
    assert expected.shape == (2, 5, 4, 5)
    torch.testing.assert_close(model(images)[0], expected)


def test_dropout_leaves_out_whole_channels():
    model = build(dropout=.5).train()
    seen = []
    model.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.norm.bias.data += 10.  # nothing is zero but what is left out
    with torch.no_grad():
        model(torch.randn(2, 3, 64, 64))
    empty = (seen[0] == 0).flatten(2)
    assert torch.equal(empty.all(2), empty.any(2)) and 0 < empty.all(2).sum() < empty.all(2).numel()

"""The second stage of training: who learns from which loss, and that it stays finite."""
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from torch import nn
from torchvision.models import vgg

from densevit.networks.restoration.discriminator import UNetDiscriminator
from densevit.networks.restoration.perceptual import PerceptualLoss
from densevit.registry import MODELS

HEAD = dict(type='densevit.SwinIR', scale=2, embed_dim=8, depths=(1, ), num_heads=1, upsampler='pixelshuffledirect',
            drop_path_rate=0.)


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='densevit.AdversarialRestorer', head=HEAD, discriminator=dict(width=8), **options))


def batch():
    true = torch.randint(256, (2, 3, 32, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    samples = [BaseDataElement(gt_img=image, metainfo=dict(img_shape=(16, 24))) for image in true]
    return dict(inputs=[image[:, ::2, ::2] for image in true], data_samples=samples)


def test_neither_learns_from_the_loss_of_the_other():
    model = build(perceptual=dict(layers=dict(conv1_2=1., conv2_2=.5), pretrained=False)).train()
    losses = model(**model.data_preprocessor(batch(), True), mode='loss')
    assert set(losses) == {'loss_pixel', 'loss_perceptual', 'loss_adversarial', 'loss_discriminator'}
    for name, loss in losses.items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        learns = {part for part in ('network', 'discriminator')
                  if any(parameter.grad is not None and parameter.grad.any()
                         for parameter in getattr(model, part).parameters())}
        assert learns == {'discriminator' if name == 'loss_discriminator' else 'network'}, name
    loss = model.perceptual(torch.device('cpu'))
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert len(list(loss.parameters())) and not any('perceptual' in name for name in model.state_dict())


def test_a_model_with_a_perceptual_loss_predicts_without_its_weights(monkeypatch, tmp_path):
    """They are read by a run alone, at its beginning."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    model = build(perceptual=dict()).eval()
    model.test_step(batch())
    with pytest.raises(OSError, match='model.perceptual=None'):
        model.init_weights()


def refuse(*_args, **_options):
    raise OSError('no network')


def test_hidden_pixels_and_chosen_layers():
    """As in the first stage: a mask tells where pixels count, and ``rank-layers`` which layers learn."""
    layer = 'layers.0.residual_group.blocks.0.mlp.fc1'
    model, data = build(trained_layers=[layer]), batch()
    assert {name for name, parameter in model.network.named_parameters() if parameter.requires_grad} == {
        f'{layer}.weight', f'{layer}.bias'}
    plain = model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel']
    for sample in data['data_samples']:
        sample.mask = torch.zeros(1, 16, 24, dtype=torch.bool)
        sample.mask[:, :4] = True
    masked = model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel']
    assert masked != plain


def test_losses_beside_the_pixels_keep_their_precision_under_autocast():
    model = build(perceptual=dict(layers=dict(conv2_2=1.), pretrained=False)).train()
    data = model.data_preprocessor(batch(), True)
    exact = model(**data, mode='loss')
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(**data, mode='loss')
    assert all(losses[name].dtype == torch.float32 for name in losses)
    assert losses['loss_perceptual'].item() == pytest.approx(exact['loss_perceptual'].item(), rel=2e-3)


def test_some_steps_stay_finite_and_the_discriminator_learns():
    model = build().train()
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), 2e-3))
    found = [model.train_step(batch(), wrapper) for _ in range(20)]
    assert all(loss.isfinite() for losses in found for loss in losses.values())
    assert found[-1]['loss_discriminator'] < found[0]['loss_discriminator']
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_discriminator():
    """A logit for each pixel; spectral norms bound what a change of the image can do, however large weights grow."""
    torch.manual_seed(0)
    network = UNetDiscriminator(width=4)
    for size in ((24, 40), (21, 37)):
        assert network(torch.rand(2, 3, *size)).shape == (2, 1, *size)
    convs = [getattr(network, f'conv{index}') for index in range(1, 9)]
    for conv in convs:
        conv.weight_orig.data.mul_(7)
    for _ in range(60):  # each step of training comes nearer to the largest singular value
        network(torch.rand(1, 3, 8, 8))
    for conv in convs:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() == pytest.approx(1, abs=.02)
    assert all(not hasattr(conv, 'weight_orig') for conv in (network.conv0, network.conv9))


def test_equal_images_look_alike():
    loss = PerceptualLoss(pretrained=False, layers=dict(conv2_2=1.))
    image = torch.rand(1, 3, 16, 16)
    assert loss(image, image) == 0 and loss(image, image.flip(-1)) > 0
    with pytest.raises(ValueError, match='conv9'):
        PerceptualLoss(layers=dict(conv9=1.))


def test_features_have_torchvisions_names_and_places():
    ours = PerceptualLoss(pretrained=False).features
    theirs = vgg.vgg19(init_weights=False).features[:len(ours)]
    assert [type(part) for part in ours] == [type(part) for part in theirs]
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()}


@torch.no_grad()
def test_features_are_those_of_torchvision_before_the_relu():
    """Of images normalised as torchvision does for these weights; Real-ESRGAN's weights of layers."""
    torch.manual_seed(0)
    theirs = vgg.vgg19(init_weights=False).features.eval()
    image, target = torch.rand(2, 1, 3, 48, 48)
    given = vgg.VGG19_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (given.mean, given.std))
    differences, stage, conv = {}, 1, 0
    x, y = (image - mean) / std, (target - mean) / std
    for part in theirs:
        # Named by the stage and the place in it; ReLUs of torchvision's work in place.
        x, y = part(x.clone()), part(y.clone())
        if isinstance(part, nn.MaxPool2d):
            stage, conv = stage + 1, 0
        elif isinstance(part, nn.Conv2d):
            conv += 1
            differences[f'conv{stage}_{conv}'] = (x - y).abs().mean().item()
    for name in ('conv1_2', 'conv2_2', 'conv3_4', 'conv4_4', 'conv5_4'):
        loss = PerceptualLoss({name: 2.}, pretrained=False)
        loss.features.load_state_dict({key: theirs.state_dict()[key] for key in loss.features.state_dict()})
        assert loss(image, target).item() == pytest.approx(2 * differences[name], rel=1e-4), name
    assert PerceptualLoss(pretrained=False).layers == dict(conv1_2=.1, conv2_2=.1, conv3_4=1., conv4_4=1., conv5_4=1.)

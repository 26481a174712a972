"""Restorer: what it learns from and predicts, of images of 8 and 16 bits and of grey ones; networks of spandrel."""
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from randomised import randomise

import densevit
from densevit.registry import MODELS
from densevit.weights import WeightsError

HEAD = dict(type='densevit.SwinIR', scale=2, embed_dim=16, depths=(1, ), num_heads=2, upsampler='pixelshuffledirect',
            skip='bicubic', drop_path_rate=0.)


def build(**head):
    torch.manual_seed(0)
    return MODELS.build(dict(type='densevit.Restorer', head=dict(HEAD, **head)))


def batch(count=2, size=(13, 18), scale=2, channels=3, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    most = torch.iinfo(dtype).max
    images = torch.randint(most + 1, (count, channels, scale * size[0], scale * size[1]), generator=generator)
    metainfo = dict(img_shape=size, ori_shape=size)
    samples = [BaseDataElement(gt_img=image.to(dtype), metainfo=metainfo) for image in images]
    inputs = [image[:, ::scale, ::scale].to(dtype) for image in images]
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('dtype', (torch.uint8, torch.uint16))
def test_loss_of_images_of_any_depth(dtype):
    """At the beginning, that of interpolation."""
    model = build()
    data = batch(dtype=dtype)
    most = torch.iinfo(dtype).max
    small = torch.stack([image.float() for image in data['inputs']]) / most
    target = torch.stack([sample.gt_img.float() for sample in data['data_samples']]) / most
    enlarged = torch.nn.functional.interpolate(torch.nn.functional.pad(small, (0, 6, 0, 3), 'reflect'), scale_factor=2,
                                               mode='bicubic')[..., :26, :36]
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert losses['loss_pixel'].item() == pytest.approx((enlarged - target).abs().mean().item(), rel=1e-4)


def test_loss_of_hidden_pixels_alone():
    """What is changed elsewhere changes nothing; a mask of a small image covers all that is made of it."""
    model, data = build(), batch()
    plain = model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel']
    for sample in data['data_samples']:
        sample.mask = torch.ones(1, 13, 18, dtype=torch.bool)
    torch.testing.assert_close(model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel'], plain)
    for sample in data['data_samples']:
        sample.mask[:, :5] = False
    some = model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel']
    for sample in data['data_samples']:
        sample.gt_img[:, :10] = 7
    torch.testing.assert_close(model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel'], some)
    data['data_samples'][0].gt_img[:, 10] ^= 64
    assert abs(model(**model.data_preprocessor(data, True), mode='loss')['loss_pixel'] - some) > 1e-4


def test_only_chosen_layers_are_trained():
    """Parameters of a layer itself, not of those inside it."""
    layers = ['layers.0.residual_group.blocks.0.attn', 'layers.0.conv']
    model = MODELS.build(dict(type='densevit.Restorer', head=HEAD, trained_layers=layers))
    trained = {name for name, parameter in model.network.named_parameters() if parameter.requires_grad}
    assert trained == {'layers.0.residual_group.blocks.0.attn.relative_position_bias_table', 'layers.0.conv.weight',
                       'layers.0.conv.bias'}
    model.loss(**model.data_preprocessor(batch(), True))['loss_pixel'].backward()
    with pytest.raises(ValueError, match="no layer 'layers.0'"):
        MODELS.build(dict(type='densevit.Restorer', head=HEAD, trained_layers=['layers.0']))


def test_true_images_of_another_scale_are_refused():
    model = build(scale=4)
    with pytest.raises(ValueError, match='model.head.scale'):
        model(**model.data_preprocessor(batch(), True), mode='loss')


def test_prediction_covers_the_image_without_pads():
    """An image of a batch with a larger one is restored as it is alone: a network would see its pads."""
    model = randomise(build(window_size=4)).eval()
    small, large = batch(1, (8, 16)), batch(1, (16, 24))
    data = dict(inputs=small['inputs'] + large['inputs'], data_samples=small['data_samples'] + large['data_samples'])
    found = model.test_step(data)
    assert [tuple(sample.pred_img.shape) for sample in found] == [(3, 16, 32), (3, 32, 48)]
    assert all(sample.pred_img.min() >= 0 and sample.pred_img.max() <= 1 for sample in found)
    for index, data in enumerate((batch(1, (8, 16)), batch(1, (16, 24)))):
        alone = model.test_step(data)[0].pred_img
        torch.testing.assert_close(found[index].pred_img, alone, rtol=0, atol=1e-4)


def test_grey_images():
    model = randomise(build(in_channels=1)).eval()
    assert model.test_step(batch(channels=1))[0].pred_img.shape == (1, 26, 36)


@pytest.mark.parametrize('shape', [(12, 20), (33, 17)])
def test_a_network_of_spandrel(shape, tmp_path):
    """Through load and predict, also of images that are smaller than it takes."""
    pytest.importorskip('spandrel', reason='needs spandrel')
    from spandrel.architectures.Compact import Compact
    reference = randomise(Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=1, upscale=2))
    torch.save(dict(params=reference.state_dict()), tmp_path / 'compact.pth')
    predictor = densevit.load(f'spandrel:{tmp_path / "compact.pth"}', device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    result = predictor.predict(image)
    with torch.no_grad():
        expected = reference(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].clamp(0, 1)
    assert not result.notes and result.scale == 2
    np.testing.assert_array_equal(result.restored, (expected * 255).round().permute(1, 2, 0).byte().numpy())


def test_a_grey_network_of_spandrel(tmp_path):
    """It is given the luma of a picture; greys are their own."""
    pytest.importorskip('spandrel', reason='needs spandrel')
    from spandrel.architectures.Compact import Compact
    reference = randomise(Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=1, upscale=2))
    torch.save(dict(params=reference.state_dict()), tmp_path / 'grey.pth')
    predictor = densevit.load(f'spandrel:{tmp_path / "grey.pth"}', device='cpu')
    grey = np.random.default_rng(0).integers(0, 256, (12, 20)).astype(np.uint8)
    with torch.no_grad():
        expected = reference(torch.from_numpy(grey)[None, None].float() / 255)[0, 0].clamp(0, 1)
    restored = predictor.predict(grey).restored
    assert abs(restored - (expected * 255).round().numpy()[..., None]).max() <= 1
    colours = predictor.predict(grey[..., None].repeat(3, 2) // np.uint8([1, 2, 3])).restored
    assert (colours[..., 0] == colours[..., 2]).all() and (colours != restored).any()


def test_files_that_spandrel_does_not_know(tmp_path):
    pytest.importorskip('spandrel', reason='needs spandrel')
    torch.save(dict(weight=torch.zeros(3)), tmp_path / 'other.pth')
    with pytest.raises(WeightsError, match='no architecture that spandrel knows'):
        densevit.load(f'spandrel:{tmp_path / "other.pth"}', device='cpu')
    with pytest.raises(FileNotFoundError, match='no such checkpoint'):
        densevit.load(f'spandrel:{tmp_path / "absent.pth"}', device='cpu')


def test_spandrel_without_a_file():
    with pytest.raises(FileNotFoundError, match='give its file, spandrel:FILE'):
        densevit.load('spandrel:', device='cpu')

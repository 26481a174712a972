"""Restorers of networks that fill holes: masks of data samples, what is learned, and that visible pixels stay."""
import pytest
import torch
from mmengine.structures import BaseDataElement
from randomised import randomise

from densevit.registry import MODELS

HEAD = dict(type='densevit.MAT', dim=16, widths=(4, 6, 8), depths=(1, ) * 5, num_heads=2, window_sizes=(4, ) * 5,
            skip='pyramid')


def build(kind='Restorer', **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type=f'densevit.{kind}', head=HEAD, **options))
    torch.nn.init.normal_(model.network.conv_last.weight, std=.1)
    return model


def batch(*sizes, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for height, width in sizes or ((40, 56), (40, 56)):
        true = torch.randint(torch.iinfo(dtype).max + 1, (3, height, width), generator=generator).to(dtype)
        mask = torch.zeros(1, height, width, dtype=torch.bool)
        mask[:, 8:20, 10:30] = True
        samples.append(BaseDataElement(gt_img=true, mask=mask, metainfo=dict(img_shape=(height, width))))
        inputs.append(torch.where(mask, torch.zeros((), dtype=dtype), true))
    return dict(inputs=inputs, data_samples=samples)


def losses_of(model, data):
    return model(**model.data_preprocessor(data, True), mode='loss')


def test_losses_of_holes_and_of_the_rest():
    """What is changed elsewhere changes nothing of the loss of holes, and the other way round."""
    model, data = build(criterion=dict(hole_weight=2.)), batch()
    before = losses_of(model, data)
    assert set(before) == {'loss_hole', 'loss_visible'}
    assert losses_of(build(), data)['loss_hole'].item() == pytest.approx(before['loss_hole'].item() / 2)
    for sample in data['data_samples']:
        sample.gt_img[:, 8:20, 10:30] = 7
    changed = losses_of(model, data)
    assert changed['loss_visible'] == before['loss_visible'] and changed['loss_hole'] != before['loss_hole']


def test_masks_that_are_missing_or_do_not_fit():
    model, data = build(), batch()
    data['data_samples'][1].mask = data['data_samples'][1].mask[:, :30]
    with pytest.raises(ValueError, match='has .30, 56. pixels and the image .40, 56.'):
        losses_of(model, data)
    del data['data_samples'][1].mask
    for mode in ('loss', 'predict'):
        with pytest.raises(ValueError, match='densevit.Holes'):
            model(**model.data_preprocessor(data, False), mode=mode)


@pytest.mark.parametrize('dtype', (torch.uint8, torch.uint16))
def test_visible_pixels_stay(dtype):
    """Exactly, of all images of a batch, of which the smaller one is padded; what lies beside it is a hole."""
    model, data = build().eval(), batch((40, 56), (33, 31), dtype=dtype)
    found = model.test_step(data)
    most = torch.iinfo(dtype).max
    for sample, image in zip(found, data['inputs'], strict=True):
        values = (sample.pred_img * most).round().to(torch.int64)
        mask = sample.mask.expand_as(values)
        assert values.shape == image.shape
        assert torch.equal(values[~mask], image.to(torch.int64)[~mask])
        assert values[mask].float().std() > 0


def test_hidden_pixels_of_the_inputs_do_not_matter():
    model, data = build().eval(), batch()
    expected = model.test_step(data)[0].pred_img
    data['inputs'] = [sample.gt_img for sample in data['data_samples']]  # as predict gives them
    assert torch.equal(model.test_step(data)[0].pred_img, expected)


def test_the_second_stage_sees_filled_images():
    """Where nothing is hidden there is nothing to tell apart, and the network learns from the pixels alone."""
    model = build('AdversarialRestorer', discriminator=dict(width=8),
                  perceptual=dict(layers=dict(conv1_2=1.), pretrained=False)).train()
    data = batch()
    losses = losses_of(model, data)
    assert set(losses) == {'loss_hole', 'loss_visible', 'loss_perceptual', 'loss_adversarial', 'loss_discriminator'}
    for name, loss in losses.items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        learns = {part for part in ('network', 'discriminator')
                  if any(parameter.grad is not None and parameter.grad.any()
                         for parameter in getattr(model, part).parameters())}
        assert learns == {'discriminator' if name == 'loss_discriminator' else 'network'}, name
    for sample in data['data_samples']:
        sample.mask[:] = False
    data['inputs'] = [sample.gt_img for sample in data['data_samples']]
    assert losses_of(model, data)['loss_perceptual'] == 0


def test_only_networks_that_fill_holes_take_masks():
    swinir = dict(type='densevit.SwinIR', embed_dim=16, depths=(1, ), num_heads=2)
    model = randomise(MODELS.build(dict(type='densevit.Restorer', head=swinir)))
    assert model.takes == () and build().takes == ('mask', )
    data = batch()
    hidden = model.test_step(data)[0].pred_img  # masked pre-training is validated like that
    assert hidden.shape == (3, 40, 56)

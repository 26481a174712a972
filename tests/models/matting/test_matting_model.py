"""The model of matting: pads teach nothing, known pixels stay, trimaps follow their images, and it learns."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from randomised import randomise

from densevit.registry import MODELS

VIT = dict(type='densevit.PlainViT', family='sam', in_chans=4, img_size=64, patch_size=16, embed_dim=32, depth=2,
           num_heads=2, window_size=3, global_blocks=(1, ))
HEAD = dict(type='densevit.ViTMatte', residual_blocks=(1, ), detail_channels=(6, 8, 12), fusion_channels=(12, 8, 8, 8))


def build(**options):
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='densevit.MattingModel', backbone=VIT, head=HEAD, data_preprocessor=dict(
            type='mmengine.ImgDataPreprocessor', mean=[127.] * 3, std=[60.] * 3), **options))
    randomise(model)
    with torch.no_grad():
        model.network.predict[3].weight.mul_(.02)  # a sigmoid follows
    return model


def batch(*sizes):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]
    samples = []
    for size in sizes:
        sample = BaseDataElement(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_alpha = PixelData(data=torch.rand((1, *size), generator=generator))
        sample.trimap = PixelData(data=torch.randint(3, (1, *size), generator=generator) / 2)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def losses(model, data):
    data = model.data_preprocessor(data, True)
    return model(**data, mode='loss')


def test_pads_teach_nothing():
    """Whatever stands beside the opacity and the trimap of an image."""
    model, data = build(), batch((40, 50), (64, 64))
    expected = {name: value.item() for name, value in losses(model, data).items()}
    sample = data['data_samples'][0]
    for name in ('gt_alpha', 'trimap'):
        padded = torch.full((1, 64, 64), .5)
        padded[:, :40, :50] = sample.get(name).data
        delattr(sample, name)
        sample.set_field(PixelData(data=padded), name)
    assert {name: value.item() for name, value in losses(model, data).items()} == pytest.approx(expected)
    wrong = batch((40, 50))
    del wrong['data_samples'][0].trimap
    wrong['data_samples'][0].trimap = PixelData(data=torch.ones(1, 20, 25))
    with pytest.raises(ValueError, match='before the image is resized'):
        losses(model, wrong)


def test_samples_without_what_is_learned_from():
    model = build()
    for name, remedy in (('trimap', 'RandomTrimap.* or give densevit.LoadAlpha a trimap_width'),
                         ('gt_alpha', 'LoadAlpha')):
        data = batch((32, 48))
        delattr(data['data_samples'][0], name)
        with pytest.raises(ValueError, match=f'has no {name} to learn from: add .*{remedy}'):
            losses(model, data)


def test_residual_blocks_in_any_order():
    """The same weights give the same opacity; one that is named twice stands once."""
    data, found = batch((32, 48)), []
    for blocks in ((0, 1), (1, 0), (1, 0, 1)):
        model = MODELS.build(dict(type='densevit.MattingModel', backbone=VIT, head=dict(HEAD, residual_blocks=blocks),
                                  data_preprocessor=dict(type='mmengine.ImgDataPreprocessor')))
        if not found:
            randomise(model)
            weights = model.state_dict()
        model.load_state_dict(weights)
        found.append(model.eval().test_step(data, keep_known=False)[0].pred_alpha.data.clone())
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2]) and found[0].std() > 0


def test_a_step_of_training():
    """The opacity is that of a bright object whose trimap is unknown everywhere."""
    model, data = build(criterion=dict(gradient=.1)), batch((64, 96), (64, 96))
    for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
        sample.trimap.data[:], sample.gt_alpha.data[:] = .5, 0
        sample.gt_alpha.data[:, 16:48, 20:70] = 1
        image //= 4
        image[:, 16:48, 20:70] += 180
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.Conv2d):
            module.reset_parameters()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    values = []
    for _ in range(12):
        loss = sum(losses(model.train(), data).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < .7 * values[0]


def test_predictions_lie_over_the_original_image():
    model, data = build().eval(), batch((37, 50), (64, 33))
    trimaps = [sample.trimap.data for sample in data['data_samples']]
    free = [sample.pred_alpha.data.clone() for sample in model.test_step(data, keep_known=False)]
    kept = [sample.pred_alpha.data for sample in model.test_step(data)]
    for trimap, own, with_known in zip(trimaps, free, kept, strict=True):
        assert own.shape == trimap.shape and own.dtype == torch.float32 and 0 <= own.min() < own.max() <= 1
        assert torch.equal(with_known, torch.where(trimap == .5, own, trimap))
    # Of an image that was resized, the trimap may be that of the original.
    resized = batch((32, 48))
    sample = resized['data_samples'][0]
    large = sample.trimap.data.repeat_interleave(2, 1).repeat_interleave(2, 2)
    small = model.test_step(resized, keep_known=False)[0].pred_alpha.data.clone()
    del sample.trimap
    sample.trimap = PixelData(data=large)
    sample.set_metainfo(dict(ori_shape=(64, 96)))
    found = model.test_step(resized, keep_known=False)[0].pred_alpha.data
    assert found.shape == (1, 64, 96)
    torch.testing.assert_close(found[None], F.interpolate(small[None], scale_factor=2, mode='bilinear'))


def test_without_a_trimap_everything_is_unknown():
    model, data = build().eval(), batch((32, 48))
    inputs = model.data_preprocessor(data, False)['inputs']
    data['data_samples'][0].trimap.data[:] = .5
    expected = model.test_step(data)[0].pred_alpha.data
    torch.testing.assert_close(model.predict(inputs)[0].pred_alpha.data, expected)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs)[:, :32, :48], expected)

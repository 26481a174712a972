"""The model of depth: pads teach nothing, cameras change metres, mirrored images agree."""
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from randomised import randomise

from densevit.networks.depth import DepthNetwork, DepthPrediction
from densevit.registry import MODELS

VIT = dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=4, num_heads=2,
           out_indices=(0, 1, 2, 3))
DPT = dict(type='densevit.DPTDepth', channels=(8, 8, 8, 8), width=8, hidden_dim=4, readout='ignore', activation='exp')


def build(head=DPT, **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='densevit.MonocularDepth', backbone=VIT, head=head, data_preprocessor=dict(
            type='mmengine.ImgDataPreprocessor', mean=[127.] * 3, std=[60.] * 3), **options))
    randomise(model)
    with torch.no_grad():
        model.network.predict[2].weight.mul_(.01)  # behind an exponential
    return model


def batch(*sizes, camera=None, depth=3.):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]
    samples = []
    for size in sizes:
        sample = BaseDataElement(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_depth_map = PixelData(data=torch.full((1, *size), depth))
        if camera is not None:
            sample.set_metainfo(dict(camera=camera))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def losses(model, data):
    model.train()
    torch.manual_seed(0)
    data = model.data_preprocessor(data, True)
    return {name: value.item() for name, value in model(**data, mode='loss').items()}


def test_pads_teach_nothing():
    """Whatever a preprocessor writes beside the depth of an image."""
    model = build()
    expected = losses(model, batch((40, 50), (64, 64)))
    padded = batch((40, 50), (64, 64))
    sample = padded['data_samples'][0]
    del sample.gt_depth_map
    depth = torch.full((1, 64, 64), 255.)
    depth[:, :40, :50] = 3.
    sample.gt_depth_map = PixelData(data=depth)
    assert losses(model, padded) == pytest.approx(expected)
    model.train()
    data = model.data_preprocessor(batch((40, 50), (64, 64)), True)
    for each in data['data_samples']:
        each.gt_depth_map.data[:] = 0
    assert sum(value.item() for value in model(**data, mode='loss').values()) == 0
    wrong = batch((40, 50))
    sample = wrong['data_samples'][0]
    del sample.gt_depth_map
    sample.gt_depth_map = PixelData(data=torch.ones(1, 20, 25))
    with pytest.raises(ValueError, match='load depth before the image is resized'):
        losses(model, wrong)


def test_canonical_camera():
    """An image of twice the focal length shows the same at twice the distance, in training and in prediction."""
    model = build(dict(DPT, canonical_focal=100.))
    near = losses(model, batch((48, 64), camera=(50., 50., 31.5, 23.5), depth=3.))
    far = losses(model, batch((48, 64), camera=(100., 100., 31.5, 23.5), depth=6.))
    assert near == pytest.approx(far, rel=1e-5)
    model.eval()
    with torch.no_grad():
        short, long = (model.test_step(batch((48, 64), camera=(focal, focal, 31.5, 23.5)))[0].pred_depth_map
                       for focal in (50., 100.))
        assert torch.allclose(2 * short.data, long.data)
        assert (short.focal, long.focal, short.kind) == (50., 100., 'metric')
        # Without a camera a view is presumed: of 90 degrees, half of the width.
        presumed = model.test_step(batch((48, 64)), fov=90.)[0].pred_depth_map
        assert presumed.focal == pytest.approx(32.) and torch.allclose(presumed.data, short.data * 32 / 50)
        # Of an image that was resized, the focal length is told in pixels of the original.
        data = batch((48, 64), camera=(50., 50., 31.5, 23.5))
        data['data_samples'][0].set_metainfo(dict(ori_shape=(96, 128)))
        resized = model.test_step(data)[0].pred_depth_map
        assert resized.data.shape == (1, 96, 128) and resized.focal == pytest.approx(100.)
        assert resized.data.mean().item() == pytest.approx(short.data.mean().item(), rel=.02)
    assert 'focal' not in build().eval().test_step(batch((48, 64)))[0].pred_depth_map


def test_canonical_camera__of_a_part():
    """A part of an image is learned alike, whether its camera is told or its view is presumed."""
    model = build(dict(DPT, canonical_focal=100.))
    told = losses(model, batch((48, 64), camera=(64 / .6 / 2 * 3**.5, ) * 2 + (31.5, 23.5)))
    data = batch((48, 64))
    data['data_samples'][0].set_metainfo(dict(ori_shape=(96, 128), zoom=.5 / .6))
    assert losses(model, data) == pytest.approx(told, rel=1e-5)
    whole = losses(model, batch((48, 64), camera=(64 / 2 * 3**.5, ) * 2 + (31.5, 23.5)))
    assert losses(model, batch((48, 64))) == pytest.approx(whole, rel=1e-5) != pytest.approx(told, rel=1e-2)


def test_flip__of_a_mirrored_image_is_mirrored():
    model = build().eval()
    data, mirrored = batch((40, 50), (64, 64)), batch((40, 50), (64, 64))
    mirrored['inputs'] = [image.flip(-1) for image in mirrored['inputs']]
    with torch.no_grad():
        plain = [sample.pred_depth_map.data for sample in model.test_step(data)]
        ours = [sample.pred_depth_map.data for sample in model.test_step(data, flip=True)]
        assert all(sample.pred_depth_map.flip for sample in model.test_step(data, flip=True)), 'metrics name it'
        theirs = [sample.pred_depth_map.data.flip(-1) for sample in model.test_step(mirrored, flip=True)]
    for own, other, before in zip(ours, theirs, plain, strict=True):
        assert torch.allclose(own, other, rtol=1e-4) and not torch.allclose(own, before, rtol=1e-3)


def test_any_size():
    model = build().eval()
    with torch.no_grad():
        for height in (31, 33, 64, 97):
            for width in (32, 47, 65, 90, 129):
                sample = model.test_step(batch((height, width)))[0]
                assert sample.pred_depth_map.data.shape == (1, height, width)
                assert torch.isfinite(sample.pred_depth_map.data).all() and (sample.pred_depth_map.data > 0).all()


def test_sky():
    model = build(dict(DPT, sky=True))
    data = batch((48, 64))
    data['data_samples'][0].gt_sky = PixelData(data=torch.ones(1, 48, 64))
    assert set(losses(model, data)) == {'loss_silog', 'loss_gradient', 'loss_sky'}
    with torch.no_grad():
        found = model.eval().test_step(batch((48, 64)))[0]
    assert found.pred_sky.data.dtype == torch.bool and found.pred_sky.data.shape == (1, 48, 64)


@pytest.mark.parametrize('options, said', [
    (dict(test_cfg=dict(flip=1)), 'test_cfg.flip=1: give True or False'),
    (dict(test_cfg=dict(fov=0)), 'test_cfg.fov=0: give degrees'),
    (dict(test_cfg=dict(tta=True)), 'test_cfg.tta is no option here: choose of flip, fov'),
    (dict(criterion=dict(silog_convention='x')), None),
])
def test_options(options, said):
    if said is None:
        with pytest.raises(ValueError, match="choose 'variance_focus'"):
            losses(build(**options), batch((48, 64)))
        return
    with pytest.raises(ValueError, match=said):
        build(**options)


def test_relative_disparity():
    model = build(dict(DPT, kind='relative_disparity', activation='relu'))
    assert set(losses(model, batch((48, 64)))) == {'loss_ssi'}
    with torch.no_grad():
        assert model.eval().test_step(batch((48, 64)))[0].pred_depth_map.kind == 'relative_disparity'
    assert issubclass(type(model.network), DepthNetwork) and DepthPrediction._fields == ('depth', 'sky')

"""Checkpoints of restoration networks: averaged weights, other training sizes, other code bases, our own runs."""
import pytest
import torch
from mmengine.config import Config
from networks.restoration.official_restoration import ours, theirs
from randomised import randomise

import densevit
from densevit import load_weights
from densevit.networks.restoration import ATD, CAT, Swin2SR
from densevit.registry import MODELS
from densevit.weights import WeightsError

SWINIR = dict(type='densevit.SwinIR', scale=2, embed_dim=16, depths=(2, ), num_heads=2, upsampler='pixelshuffle')
PIPELINE = [dict(type='densevit.LoadPair'), dict(type='densevit.PackPair')]


def test_averaged_weights_of_another_training_size(tmp_path):
    """Masks and indices in the file are of windows of the training images, here of 24 pixels."""
    spandrel = pytest.importorskip('spandrel.architectures.SwinIR', reason='needs spandrel')
    options = dict(embed_dim=24, depths=[2, 3], num_heads=[2, 3], window_size=8, mlp_ratio=2., upscale=2,
                   upsampler='pixelshuffle')
    last, averaged = (randomise(spandrel.SwinIR(img_size=24, **options), seed) for seed in (1, 2))
    assert any('attn_mask' in name for name in last.state_dict())
    torch.save(dict(params=last.state_dict(), params_ema=averaged.state_dict()), tmp_path / 'net_g.pth')
    network = ours('SwinIR classical x2')
    report = load_weights(network, tmp_path / 'net_g.pth')
    assert not report.missing and all('attn_mask' in name or 'index' in name for name in report.left)
    images = torch.rand(1, 3, 17, 40, dtype=torch.double)
    torch.testing.assert_close(network(images), averaged.double()(images), rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize(('upsampler', 'scale'), [
    ('pixelshuffle', 2), ('pixelshuffle', 3), ('pixelshuffle', 4), ('pixelshuffledirect', 3), ('nearest+conv', 4),
    ('pixelshuffle_aux', 4)])
def test_swin2sr_of_transformers(upsampler, scale):
    transformers = pytest.importorskip('transformers', reason='needs transformers')
    config = transformers.Swin2SRConfig(
        image_size=16, embed_dim=24, depths=[2, 1], num_heads=[2, 2], window_size=8, mlp_ratio=2., upscale=scale,
        upsampler=upsampler)
    reference = randomise(transformers.Swin2SRForImageSuperResolution(config)).double()
    network = Swin2SR(scale=scale, embed_dim=24, depths=(2, 1), num_heads=2, upsampler=upsampler).double().eval()
    report = load_weights(network, reference.state_dict())
    assert not report.missing and not report.left
    images = torch.rand(2, 3, 16, 24, dtype=torch.double)
    if upsampler == 'pixelshuffle_aux':  # which enlarges images there without subtracting the mean, unlike its authors
        network.mean.zero_()
        reference.swin2sr.mean.zero_()
    with torch.no_grad():
        found, expected = network(images), reference(images).reconstruction
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8 * expected.std().item())


def test_atd_tells_whether_it_subtracts_a_mean():
    pytest.importorskip('spandrel', reason='needs spandrel')
    state = theirs('ATD without mean').state_dict()
    load_weights(ours('ATD without mean'), state)
    options = dict(embed_dim=24, depths=(2, 3), num_heads=(2, 3), window_size=8, category_size=50, num_tokens=16,
                   reduced_dim=4, scale=1, upsampler=None)
    with pytest.raises(WeightsError, match='subtract_mean=False'):
        load_weights(ATD(**options), state)
    with pytest.raises(WeightsError, match='subtract_mean=True'):
        load_weights(ATD(**options, subtract_mean=False), {
            name: tensor for name, tensor in state.items() if name != 'no_norm'})


def test_cat_under_its_authors_names():
    network = randomise(CAT(scale=2, embed_dim=32, depths=(1, 2), num_heads=2, long_side=8))
    theirs = {}
    for name, tensor in network.state_dict().items():
        name = name.replace('patch_embed.norm', 'before_RG.1').replace('residual_group.blocks', 'blocks')
        theirs[name] = tensor
    theirs |= {'layers.0.blocks.0.attns.0.rpe_biases': torch.zeros(105, 2),
               'layers.0.blocks.0.attns.0.relative_position_index': torch.zeros(32, 32),
               'layers.1.blocks.1.attn_mask_0': torch.zeros(4, 32, 32)}
    other = CAT(scale=2, embed_dim=32, depths=(1, 2), num_heads=2, long_side=8)
    report = load_weights(other, dict(params=theirs))
    assert report.naming == "the authors' CAT" and len(report.left) == 3
    torch.testing.assert_close(dict(other.state_dict()), dict(network.state_dict()))


def test_what_a_run_writes_is_read_by_every_tool(tmp_path):
    def build(seed):
        return randomise(MODELS.build(dict(type='densevit.Restorer', head=dict(SWINIR))), seed)

    source = build(1)
    torch.save(dict(meta=dict(iter=2), state_dict=source.state_dict()), tmp_path / 'iter_2.pth')
    model = build(2)
    assert not load_weights(model, tmp_path / 'iter_2.pth').missing
    cfg = Config(dict(model=dict(type='densevit.Restorer', head=SWINIR),
                      test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))
    predictor = densevit.load(cfg, tmp_path / 'iter_2.pth', device='cpu')
    for found in (model, predictor.model):
        torch.testing.assert_close(dict(found.network.state_dict()), dict(source.network.state_dict()))

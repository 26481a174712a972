"""HiT-SR and its authors' code with the same random weights, and what its options refuse."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from official import importable, repository
from randomised import randomise

import densevit
from densevit import load_weights
from densevit.datasets.restoration.matlab_resize import matlab_resize
from densevit.evaluation import psnr, ssim
from densevit.images import read_image
from densevit.networks.restoration import HiTSR
from densevit.networks.restoration.hit import SpatialChannelCorrelation
from densevit.networks.restoration.windows import relative_position_index

# With fewer channels, biases of positions come from one channel, whose norm is the same for all offsets.
SMALL = dict(embed_dim=48, depths=(3, 2), num_heads=(2, 3), window_size=4, window_ratios=(.5, 1, 3))
OFFICIAL = dict(embed_dim=48, depths=[3, 2], num_heads=[2, 3], base_win_size=[4, 4], hier_win_ratios=[.5, 1, 3])
# Form of the authors, our options, theirs.
FORMS = {
    'SIR x3': ('sir', dict(scale=3, conv_ffn=False), dict()),
    'SNG x4': ('sng', dict(scale=4, conv_ffn=False, ngrams=True), dict()),
    'SRF x2': ('srf', dict(scale=2), dict()),
    'SRF x4 with three convolutions': (
        'srf', dict(scale=4, upsampler='pixelshuffle', group_convs=3, img_range=255., in_channels=1, mlp_ratio=1.),
        dict(upsampler='pixelshuffle', resi_connection='3conv', img_range=255., in_chans=1, mlp_ratio=1.)),
}


def official(form):
    """The authors' network with random values, in double precision."""
    kind, options, others = FORMS[form]
    folder = repository('HiT-SR') / 'basicsr'
    registry = type('Registry', (), dict(register=lambda self: lambda cls: cls))()
    mixin = type('PyTorchModelHubMixin', (), {})
    with importable(folder / 'archs', stubs={
            'basicsr.utils.registry': dict(ARCH_REGISTRY=registry),
            'huggingface_hub': dict(PyTorchModelHubMixin=mixin)}):
        module = __import__(f'hit_{kind}_arch')
    network = randomise(getattr(module, f'HiT_{kind.upper()}')(
        upscale=options['scale'], **{**OFFICIAL, **others})).double()
    for part in network.modules():
        if type(part).__name__ == 'DynamicPosBias':  # is given offsets in single precision
            part.register_forward_pre_hook(lambda _, inputs: tuple(x.double() for x in inputs))
    return network


@pytest.mark.filterwarnings('ignore')  # of torch.meshgrid and of timm's former paths
@pytest.mark.parametrize('form', FORMS)
def test_same_outputs_and_gradients_as_the_authors(form):
    reference = official(form)
    network = HiTSR(**{**SMALL, **FORMS[form][1]}).double().eval()
    report = load_weights(network, dict(params_ema=reference.state_dict()))
    assert not report.missing
    assert all('relative_position_index' in name for name in report.left)
    for size in ((13, 30), (25, 12)):
        network.zero_grad()
        reference.zero_grad()
        images = torch.rand(2, network.in_channels, *size, dtype=torch.double)
        expected, found = reference(images), network(images)
        assert found.shape == (2, network.in_channels, *(network.scale * side for side in size))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.std().item())
        expected.square().mean().backward()
        found.square().mean().backward()
        theirs = {name.replace('ngram_window_partition.', ''): parameter.grad
                  for name, parameter in reference.named_parameters()}
        largest = max(gradient.abs().max().item() for gradient in theirs.values())
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(parameter.grad, theirs[name], rtol=1e-7, atol=1e-10 * largest, msg=name)


def test_biases_of_cells_are_means_of_those_of_pixels():
    correlation = randomise(SpatialChannelCorrelation(48, 2, 12, 4, False)).double()
    pairs = correlation.pos.table((12, 12)).flatten(0, 1)[relative_position_index((12, 12))]  # (144, 144, heads)
    cells = pairs.unflatten(1, (4, 3, 4, 3)).mean((2, 4)).flatten(1, 2)  # (144, 16, heads)
    torch.testing.assert_close(correlation.bias(), cells.permute(2, 0, 1))


def test_options_that_do_not_go_together():
    for wrong, said in ((dict(depths=(4, )), 'window_ratios'), (dict(window_ratios=(.5, 1, 1.5)), 'whole numbers'),
                        (dict(window_ratios=(.1, 1, 2)), 'below 1'), (dict(embed_dim=50), 'twice the heads')):
        with pytest.raises(ValueError, match=said):
            HiTSR(**{**SMALL, 'num_heads': 2, **wrong})


def test_published_figure_of_the_authors_weights(shared_data):
    """Set5 x4, made small by today's MATLAB: 32.55 / .8999 (table 2 of the paper). Tiles hold all of these images."""
    weights, folder = shared_data.parent / 'weights/hitsr_x4.pth', shared_data / 'sr_test/Set5/x4/HR'
    if not weights.is_file() or not folder.is_dir():
        pytest.skip('hitsr_x4.pth and sr_test: set DENSEVIT_TEST_DATA')
    pipeline = [dict(type='densevit.LoadPair'), dict(type='densevit.PackPair')]
    config = Config(dict(model=dict(type='densevit.Restorer', head=dict(type='densevit.HiTSR')),
                         test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    predictor = densevit.load(config, weights, device='cpu')
    true = [np.asarray(read_image(path)) for path in sorted(folder.iterdir())]
    true = [image[:len(image) // 4 * 4, :image.shape[1] // 4 * 4] for image in true]
    options = dict(crop_border=4, y_channel=True)
    pairs = [(predictor.predict(matlab_resize(image, .25), tiles=(128, 128)).restored, image) for image in true]
    assert np.mean([psnr(*pair, **options) for pair in pairs]) == pytest.approx(32.554, abs=.005)
    assert np.mean([ssim(*pair, **options) for pair in pairs]) == pytest.approx(.8999, abs=.0002)

"""Every config of restoration: its parts are known and fit each other; the networks have the published sizes."""
import pytest
import torch
from checkout import without_memory
from mmengine.optim import build_optim_wrapper
from mmengine.structures import BaseDataElement
from shrink import RESTORATION, build_schedulers, load, scope

from densevit.models.check import check_model
from densevit.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

# Millions of parameters, counted in the authors' code.
SIZES = {
    'swinir_m_x4_df2k': 11.900, 'swinir_s_x4_df2k': .930, 'swinir_m_denoise25': 11.504, 'swinir_m_jpeg40': 11.486,
    'hat_s_x4_df2k': 9.621, 'hat_m_x4_df2k': 20.773, 'hat_l_x4_df2k': 40.847, 'drct_m_x4_df2k': 14.140,
    'drct_l_x4_df2k': 27.581, 'cat_a_x4_df2k': 16.60, 'hit_srf_x4_df2k': .866,
    'hit_sir_x4_div2k': .792, 'hit_sng_x4_div2k': 1.032,
    'restormer_denoise25': 26.112, 'restormer_derain': 26.127}


@pytest.mark.parametrize('name', RESTORATION)
def test_config__builds(name):
    cfg = load(name)
    for stage in ('train', 'val', 'test'):
        dataset = cfg[f'{stage}_dataloader'].dataset
        assert issubclass(DATASETS.get(dataset.type), DATASETS.get('densevit.RestorationDataset'))
        for transform in dataset.pipeline:
            TRANSFORMS.build(dict(transform))
    METRICS.build(dict(cfg.val_evaluator))
    with scope(cfg), without_memory():
        model = MODELS.build(cfg.model)
    check_model(model)
    cfg.optim_wrapper.optimizer.pop('fused', None)
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        build_schedulers(cfg, optim_wrapper)
        for hook in cfg.get('custom_hooks', ()):
            HOOKS.build(dict(hook))
    groups = optim_wrapper.optimizer.param_groups
    assert {id(parameter) for group in groups for parameter in group['params']} == {
        id(parameter) for parameter in model.parameters()}
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    stem = name.rsplit('/', 1)[-1].removesuffix('.py')
    if stem in SIZES:
        assert millions == pytest.approx(SIZES[stem], abs=.006)
    if 'tiny' in stem:
        assert millions <= 2
    # The loader, the scale of the degradation and that of the network agree.
    scale = cfg.model.head.get('scale', 1)
    degraded = [step for stage in ('train', 'val') for step in cfg[f'{stage}_dataloader'].dataset.pipeline
                if step.type in ('densevit.Degrade', 'densevit.Holes')]
    assert len(degraded) == 2 and all(step.get('scale', 1) == scale for step in degraded)
    assert cfg.val_evaluator.get('crop_border', 0) == (scale if scale > 1 else 0)
    # Networks that fill holes are given some, and others are not measured by them.
    assert {step.type == 'densevit.Holes' for step in degraded} == {model.network.takes_mask} == {
        'hole_PSNR' in cfg.val_evaluator.get('figures', ())}


@pytest.mark.parametrize('name', ('denoise25', 'jpeg40'))
def test_swinir_is_trained_for_noise_and_jpeg_by_the_loss_of_its_authors_options(name):
    """KAIR's Charbonnier is ``sqrt(d ** 2 + 1e-9)``: a hundredth of an 8-bit level is still told from none."""
    with torch.device('meta'):
        criterion = MODELS.build(load(f'configs/swinir/swinir_m_{name}.py').model).criterion
    for difference in (0., 4e-5, .1):
        loss = criterion(torch.full((1, 3, 4, 4), difference), torch.zeros(1, 3, 4, 4))['loss_pixel']
        assert loss.item() == pytest.approx((difference**2 + 1e-9)**.5, rel=1e-4)


def test_tiny_config__learns_and_predicts():
    """With a step at the rates of the config, its loss falls below that of interpolation."""
    cfg = load('configs/tiny/swinir_tiny_x2.py')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)

    true = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8)
    data = dict(inputs=[image[:, ::2, ::2] for image in true],
                data_samples=[BaseDataElement(gt_img=image, metainfo=dict(img_shape=(16, 16))) for image in true])
    losses = [model.train_step(data, optim_wrapper)['loss'].item() for _ in range(3)]
    assert losses[2] < losses[0]
    assert model.eval().val_step(data)[0].pred_img.shape == (3, 32, 32)

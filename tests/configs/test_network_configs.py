"""SegViT's and VPNeXt's configs: they build, learn from two images and predict; rates and weight decay as published."""
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, TRANSFORMS
from shrink import SIZE, batch, load, scope

import densevit.registry  # noqa: F401
from densevit.engine.options import check_config

SMALL = {
    'model.backbone.pretrained': False, 'model.backbone.img_size': SIZE, 'model.backbone.embed_dim': 32,
    'model.backbone.num_heads': 2, 'model.head.embed_dim': 32, 'model.data_preprocessor.size': SIZE,
    'model.test_cfg.crop_size': SIZE
}
SEGVIT = {'model.head.num_heads': 4, 'model.head.num_layers': 1, 'model.test_cfg.stride': (32, 32)}
CONFIGS = {
    'segvit/segvit_vitb_ade20k': dict(SEGVIT, **{'model.backbone.out_indices': (1, 2)}),
    'segvit/segvit_vitl_ade20k': dict(SEGVIT, **{'model.backbone.out_indices': (1, 2)}),
    'segvit/segvit_shrunk_vitl_ade20k': dict(
        SEGVIT, **{'model.backbone.out_indices': (3, ), 'model.head.shrink_block': 1, 'model.head.query_grid': 4}),
    'vpnext/vpnext_vitl_cityscapes': {'model.head.guide_dim': 8, 'model.backbone.out_indices': (0, 1, 2)},
}


@pytest.mark.parametrize('name', CONFIGS)
def test_network_config__learns_and_predicts(name):
    torch.manual_seed(0)
    cfg = load(f'configs/{name}.py')
    check_config(cfg)
    cfg.merge_from_dict({**SMALL, **CONFIGS[name]})
    with scope(cfg):
        for stage in ('train', 'val', 'test'):
            for transform in cfg[f'{stage}_dataloader'].dataset.pipeline:
                TRANSFORMS.build(transform)
        model = MODELS.build(cfg.model)
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        rates = {group['stage']: group['lr'] for group in optim_wrapper.optimizer.param_groups}
        schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
        for scheduler in schedulers:
            scheduler.setdefault('end', cfg.train_cfg.max_iters)
            PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optim_wrapper))
        losses = model.train_step(batch(model.num_classes), optim_wrapper)
        assert all(torch.isfinite(loss) for loss in losses.values())
        samples = model.val_step(batch(model.num_classes, (64, 96)))
    assert [sample.pred_sem_seg.data.shape for sample in samples] == [(1, 64, 96)] * 2
    if 'segvit' in name:
        assert rates == dict(backbone=pytest.approx(2e-5), head=pytest.approx(2e-4))


def test_segvit_config__norms_have_no_weight_decay():
    cfg = load('configs/segvit/segvit_vitb_ade20k.py', **SMALL, **CONFIGS['segvit/segvit_vitb_ade20k'])
    with scope(cfg):
        model = MODELS.build(cfg.model)
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    free = {id(parameter) for group in groups if not group['weight_decay'] for parameter in group['params']}
    norms = {id(parameter) for module in model.modules() if isinstance(module, torch.nn.LayerNorm)
             for parameter in module.parameters()}
    assert free == norms

"""Configs on mmseg's and mmdet's own models learn from two images and predict; sizes and rates as published."""
import re

import pytest
import torch
from coco_like import write_coco_like
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import Runner
from shrink import ROOT, batch, load, scope
from stock import build, detection_batch, shrink

from densevit.engine.options import OptionError
from densevit.engine.run_config import load_config
from densevit.models.pretraining import without_pretraining

# One for each head and kind of backbone.
SEGMENTORS = [
    'vit_adapter/upernet_vitadapter_s', 'vit_comer/upernet_vitcomer_b', 'vit_adapter/mask2former_vitadapter_l',
    'vit_comer/mask2former_vitcomer_t'
]
DETECTORS = [
    'vit_comer/mask_rcnn_vitcomer_b_1x_coco', 'vitdet/mask_rcnn_vitdet_b_coco',
    'vitdet/cascade_mask_rcnn_vitdet_l_coco', 'vitdet/mask_rcnn_vitdet_b_abswin_coco',
    'hieradet/mask_rcnn_hieradet_t_coco', 'tiny/faster_rcnn_tiny_bccd', 'detection/dino_vitdet_b_coco',
    'detection/deformable_detr_vitadapter_s_coco', 'detection/ddq_detr_vitcomer_s_coco',
    'detection/conditional_detr_hieradet_s_coco', 'detection/dab_detr_swin_t_coco'
]


def learn(model, optim_wrapper, data):
    """One step in which every parameter that learns has a gradient."""
    model.train()
    data = model.data_preprocessor(data, training=True)
    total, losses = model.parse_losses(model(**data, mode='loss'))
    assert len(losses) > 1 and all(torch.isfinite(value) for value in losses.values())
    total.backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    optim_wrapper.step()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    return idle


@pytest.mark.parametrize('name', SEGMENTORS)
def test_segmentor__learns_and_predicts(name):
    cfg = shrink(load(f'configs/{name}_ade20k.py'))
    model = build(cfg)
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        assert learn(model, optim_wrapper, batch(150)) == []
        samples = model.eval().val_step(batch(150, (64, 96)))  # two windows
    assert [sample.pred_sem_seg.data.shape for sample in samples] == [(1, 64, 96)] * 2


@pytest.mark.parametrize('name', DETECTORS)
def test_detector__learns_and_predicts(name):
    cfg = shrink(load(f'configs/{name}.py'))
    model = build(cfg)
    num_classes = model.roi_head.bbox_head.num_classes if 'tiny' in name else 80
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        assert learn(model, optim_wrapper, detection_batch(num_classes)) == []
        samples = model.eval().val_step(detection_batch(num_classes))
    for sample, shape in zip(samples, ((64, 48), (50, 64)), strict=True):
        instances = sample.pred_instances
        assert len(instances) and instances.labels.max() < num_classes and torch.isfinite(instances.bboxes).all()
        assert 'mask_rcnn' not in name or instances.masks.shape[-2:] == shape


def test_boxes_of_ones_own__trained_and_evaluated(tmp_path, quick_runs):
    """A detector of mmdetection's on our dataset, by our metric."""
    cfg = shrink(load('configs/tiny/faster_rcnn_tiny_bccd.py'))
    data = dict(data_root=str(write_coco_like(tmp_path / 'data')), ann_file='instances.json',
                data_prefix=dict(img='images'), metainfo=dict(classes=('rod', 'cell')))
    loader = dict(num_workers=0, persistent_workers=False, dataset=data)
    cfg.merge_from_dict({f'{stage}_dataloader': dict(loader, batch_size=size)
                         for stage, size in dict(train=2, val=1, test=1).items()})
    cfg.merge_from_dict({'model.roi_head.bbox_head.num_classes': 2, 'train_cfg.max_iters': 2,
                         'work_dir': str(tmp_path)})
    threads = torch.get_num_threads()
    runner = Runner.from_cfg(cfg)
    runner.train()
    torch.set_num_threads(threads)
    assert runner.val_dataloader.dataset.metainfo['classes'] == ('rod', 'cell')
    assert 0 <= runner.message_hub.get_scalar('val/AP').current() <= 100


def test_mask2former__queries_learn_as_the_embedding():
    cfg = shrink(load('configs/vit_adapter/mask2former_vitadapter_l_ade20k.py'))
    model = build(cfg)
    with scope(cfg):
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    slow = {id(parameter) for group in groups if group['stage'] == 'head' and group['lr'] < 2e-5
            for parameter in group['params']}
    names = {name.split('.')[1] for name, parameter in model.named_parameters() if id(parameter) in slow}
    assert names == {'mask_embed', 'cls_embed', 'level_embed', 'query_embed', 'query_feat'}
    assert {round(group['lr'] / 2e-5, 9) for group in groups if group['stage'] == 'head'} == {1., round(.9**5, 9)}


@pytest.mark.parametrize('name', [
    'vit_adapter/upernet_vitadapter_t', 'vit_comer/upernet_vitcomer_t', 'vit_comer/upernet_vitcomer_s'])
def test_upernet__published_number_of_parameters(name):
    path = f'configs/{name}_ade20k.py'
    published = re.search(r'(\d+\.?\d*) M\s+#? ?parameters', (ROOT / path).read_text().replace('\n# ', ' '))[1]
    cfg = load(path)
    cfg.model = without_pretraining(cfg.model)
    with scope(cfg):
        model = MODELS.build(cfg.model)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    digits = len(published.partition('.')[2])
    assert abs(millions - float(published)) < .5 * 10**-digits


@pytest.mark.parametrize(('size', 'rates'), [('b', {.7}), ('l', {.8}), ('h', {.9})])
def test_vitdet__weight_decay_of_detectron2(size, rates):
    """Norms and positions have none in B and L; in H everything has."""
    cfg = shrink(load(f'configs/vitdet/mask_rcnn_vitdet_{size}_coco.py'))
    assert {cfg.optim_wrapper.paramwise_cfg.layer_decay} == rates
    model = build(cfg)
    with scope(cfg):
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    free = {id(parameter) for group in groups if not group['weight_decay'] for parameter in group['params']}
    expected = set() if size == 'h' else {id(model.backbone.vit.trunk.pos_embed)} | {
        id(parameter) for module in model.modules() if isinstance(module, torch.nn.LayerNorm)
        for parameter in module.parameters()}
    assert free == expected and {group['weight_decay'] for group in groups} <= {0., .1}


WRONG_OPTIONS = [
    ('vitdet/mask_rcnn_vitdet_b_coco', 'model.backbone.vit.window_sise', 'model.backbone.vit.window_size'),
    ('vitdet/mask_rcnn_vitdet_b_coco', 'model.backbone.out_chanels', 'model.backbone.out_channels'),
    ('vit_comer/mask_rcnn_vitcomer_s_1x_coco', 'train_pipeline.2.prob', 'train_dataloader.dataset.pipeline.2.prob'),
    ('hieradet/mask_rcnn_hieradet_s_coco', 'optim_wrapper.paramwise_cfg.layer_decoy',
     'optim_wrapper.paramwise_cfg.layer_decay'),
    ('vit_comer/upernet_vitcomer_s_ade20k', 'model.backbone.mrfp_ration', 'model.backbone.mrfp_ratio'),
]


def test_wrong_options__the_nearest_is_named():
    for name, option, message in WRONG_OPTIONS:
        with pytest.raises(OptionError, match=re.escape(f"did you mean '{message}'?")):
            load_config(str(ROOT / f'configs/{name}.py'), {option: 1})

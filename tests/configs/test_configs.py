"""Every config builds as it is, one of each family learns from two images and predicts; headers tell what it is."""
import re

import pytest
import torch
from checkout import without_memory
from mmengine.infer import BaseInferencer
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    TRANSFORMS,
    VISUALIZERS,
)
from own import build, shrink, task_batch
from shrink import CONFIGS, NAMES, OWN, RESTORATION, ROOT, STOCK, build_schedulers, load, pipeline, scope

from densevit.models.check import check_model
from densevit.models.pretraining import without_pretraining

STAGES = ('train', 'val', 'test')
PUBLISHED = [path for path in CONFIGS if path.parent.name not in ('tiny', 'overfit')]
# One of each network, kind of backbone and task, and what EoMT, kMaX and SegFormer do in two ways.
FAMILIES = [f'configs/{name}.py' for name in (
    'eomt/eomt_vitl_ade20k', 'eomt/eomt_vits_dinov3_cityscapes', 'eomt/eomt_vitl_coco_panoptic_640',
    'tiny/eomt_tiny_camvid', 'tiny/eomt_tiny_nuclei', 'mask2former/mask2former_swin_t_ade20k',
    'mask2former/mask2former_swin_l_coco_panoptic', 'mask2former/mask2former_swin_t_coco_instance',
    'mask2former/mask2former_vitadapter_b_dinov2_coco_panoptic_640',
    'mask2former/mask2former_vitcomer_b_dinov2_coco_panoptic_640', 'mask2former/eco_mask2former_swin_t_coco_panoptic',
    'overfit/eco_mask2former_camvid8', 'maskformer/maskformer_r50_ade20k', 'maskformer/maskformer_swin_t_coco_panoptic',
    'kmax/kmax_convnext_t_coco_panoptic', 'kmax/remax_r50_coco_panoptic', 'overfit/kmax_camvid8',
    'segvit/segvit_vitb_ade20k', 'overfit/segvit_camvid8', 'segvit/segvit_shrunk_vitl_ade20k', 'pem/pem_r50_cityscapes',
    'vit_p/vit_p_vitb_eomt_vitl_ade20k', 'dpt/dpt_vitb_ade20k', 'dpt/dpt_swin_b_ade20k',
    'segformer/segformer_mitb0_ade20k', 'segformer/segformer_swin_t_ade20k', 'linear/linear_dinov2_vits_ade20k',
    'overfit/linear_camvid8', 'vpnext/vpnext_vitl_cityscapes', 'overfit/vpnext_camvid8', 'tiny/lwdetr_tiny_bccd',
    'tiny/deim_tiny_animals', 'rfdetr/rfdetr_seg_small_coco', 'plain_detr/plain_detr_swinv2_s_coco',
    'overfit/plain_detr_coco8', 'overfit/deim_swin_coco8', 'tiny/dpt_tiny_indoor',
    'depth_anything/depth_anything_v2_vits', 'depth_anything/depth_anything_3_metric_vitl',
    'depth_anything/depth_anything_v2_vits_hypersim', 'dinov2_depth/dinov2_vits_linear_nyu',
    'polymax/polymax_convnext_l_nyu', 'vitmatte/vitmatte_s_comp1k')]


@pytest.mark.parametrize('name', [name for name in NAMES if name not in RESTORATION])
def test_config__builds(name):
    """At full size, without memory: all types are known, parts fit each other, and every parameter has a rate."""
    cfg = load(name)
    if name in OWN:  # also in the scope that mmengine gives to a base named ``densevit::...``
        _check_types(load(name, default_scope='densevit'))
        assert [step.type for stage in STAGES for step in pipeline(cfg, stage)
                if 'LoadImage' in step.type] == ['densevit.LoadImage'] * 3, 'images are read as predict reads them'
    _check_types(cfg)
    with scope(cfg), without_memory():
        model = MODELS.build(without_pretraining(cfg.model))
    check_model(model)
    cfg.optim_wrapper.optimizer.pop('fused', None)  # there is none of parameters without memory
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        build_schedulers(cfg, optim_wrapper)
    metainfo = _metainfo(cfg.test_dataloader.dataset)
    groups = optim_wrapper.optimizer.param_groups
    is_frozen = not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert {group['stage'] for group in groups} == ({'head'} if is_frozen else {'backbone', 'head'})
    assert all(0 < group['initial_lr'] <= cfg.optim_wrapper.optimizer.lr for group in groups)
    grouped = {id(parameter) for group in groups for parameter in group['params']}
    assert grouped == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if _num_classes(model) is not None:  # depth has none
        assert _num_classes(model) == len(metainfo['classes'])
    if 'stuff_classes' in cfg.model:
        stuff = [label for label, is_thing in enumerate(metainfo['isthing']) if not is_thing]
        assert sorted(cfg.model.stuff_classes) == stuff
    if name in STOCK and ROOT / name in PUBLISHED:
        _check_published_rates(cfg, model, groups, is_hiera='hieradet' in name)


def _check_types(cfg):
    """Those of another package's config name the scope that they are of."""
    nodes = [(HOOKS, hook) for hook in (*cfg.default_hooks.values(), *cfg.get('custom_hooks', ()))]
    nodes += [(LOOPS, cfg[f'{stage}_cfg']) for stage in STAGES if 'type' in cfg[f'{stage}_cfg']]
    nodes += [(METRICS, cfg[f'{stage}_evaluator']) for stage in STAGES[1:]] + [(VISUALIZERS, cfg.visualizer)]
    for stage in STAGES:
        loader = cfg[f'{stage}_dataloader']
        nodes += [(DATASETS, loader.dataset), (DATA_SAMPLERS, loader.sampler)]
    with scope(cfg):
        for registry, node in nodes:
            with registry.switch_scope_and_registry(node.get('_scope_')) as own:
                assert own.get(node.type), node.type
        for hook in (node for registry, node in nodes if registry is HOOKS and node.type.startswith('densevit.')):
            HOOKS.build(dict(hook))
        for metric in (node for registry, node in nodes if registry is METRICS and node.type.startswith('densevit.')):
            METRICS.build(dict(metric))
        for stage in STAGES:
            for transform in pipeline(cfg, stage):
                TRANSFORMS.build(dict(transform))


def _metainfo(dataset):
    with DATASETS.switch_scope_and_registry(dataset.get('_scope_')) as registry:
        return dataset.get('metainfo') or registry.get(dataset.type).METAINFO


def _num_classes(model):
    if hasattr(model, 'num_classes'):
        return model.num_classes
    if hasattr(model, 'decode_head'):
        return model.decode_head.num_classes
    heads = getattr(model, 'roi_head', model).bbox_head
    return (heads[-1] if isinstance(heads, torch.nn.ModuleList) else heads).num_classes


def _check_published_rates(cfg, model, groups, is_hiera):
    """The embedding, each layer, and but for HieraDet what an adapter adds; schedules end with the run."""
    options, lr = cfg.optim_wrapper.paramwise_cfg, cfg.optim_wrapper.optimizer.lr
    rates = {round(group['initial_lr'] / lr, 9) for group in groups if group['stage'] == 'backbone'}
    assert rates == {round(options.layer_decay**power, 9) for power in range(int(is_hiera), model.backbone.depth + 2)}
    ends = {scheduler['end'] for scheduler in cfg.param_scheduler if scheduler['type'] != 'LinearLR'}
    assert ends == {cfg.train_cfg.get('max_iters', cfg.train_cfg.get('max_epochs'))}


@pytest.mark.parametrize('name', FAMILIES)
def test_family__learns_and_predicts(name):
    """With thin layers, one step at the rates of the config."""
    cfg = shrink(load(name))
    model = build(cfg)
    task = getattr(model, 'task', 'semantic')
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    data = task_batch(task, model.num_classes, getattr(model, 'stuff_classes', set()))
    losses = model.train_step(data, optim_wrapper)
    assert losses and all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    shown = task_batch(task if task in ('depth', 'matting') else 'semantic', model.num_classes, set())
    for sample in model.eval().val_step(shown):
        _check_prediction(sample, task, model.num_classes)


def _check_prediction(sample, task, num_classes):
    if task in ('instance', 'detection'):
        instances = sample.pred_instances
        assert len(instances) and instances.labels.max() < num_classes
        assert task == 'detection' or torch.as_tensor(instances.masks).shape[-2:] == (64, 64)
        assert task == 'instance' or (instances.bboxes.shape[1] == 4 and torch.isfinite(instances.bboxes).all())
    elif task == 'panoptic':
        ids = sample.pred_panoptic_seg.sem_seg
        assert ids.shape == (1, 64, 64) and (ids % 1000).max() <= num_classes
    elif task == 'depth':
        depth = sample.pred_depth_map.data
        assert depth.shape == (1, 64, 64) and torch.isfinite(depth).all()
    elif task == 'matting':
        alpha = sample.pred_alpha.data
        assert alpha.shape == (1, 64, 64) and 0 <= alpha.min() <= alpha.max() <= 1
    else:
        assert sample.pred_sem_seg.data.shape == (1, 64, 64)
        assert sample.pred_sem_seg.data.max() < num_classes


def test_families__have_every_network_backbone_and_task():
    def kind(name):
        model = load(name).model
        return model.type, model.head.type, model.backbone.type, model.get('task')

    assert {kind(name) for name in OWN} - {kind(name) for name in FAMILIES} == set()


def test_headers__paper_and_command():
    assert [problem for path in CONFIGS for problem in _problems_of_header(path)] == []


def _problems_of_header(path):
    header = _header(path)
    base = re.search(r"^_base_ = \['(\w+\.py)'\]$", path.read_text(), re.MULTILINE)  # a variant of another config
    if not re.search(r'arXiv:\d{4}\.\d{5}', header + (_header(path.parent / base[1]) if base else '')):
        yield f'{path.name}: no paper'
    commands = re.findall(r'(tools/\S+\.\w+) (configs/\S+\.py)', header)
    if not commands:
        yield f'{path.name}: no command'
    for tool, config in commands:
        if not (ROOT / tool).is_file() or ROOT / config != path:
            yield f'{path.name}: {tool} {config}'
    if path in PUBLISHED:
        number = (r'\d\d\.\d mIoU|\d\d\.\d box AP(?:, \d\d\.\d mask AP)?|\d\d\.\d PQ|\d\d\.\d mask AP|'
                  r'\d\.\d{3,4} AbsRel(?:, \d\.\d{3} delta1)?|\d\.\d{3} RMSE|'
                  r'\d\d\.\d\d PSNR')
        published = rf'^# published: (({number}), \S+|no published number)'
        for line in (published, r'^# hardware: ', r'^# not trained here\.'):
            if not re.search(line, header, re.MULTILINE):
                yield f'{path.name}: no line {line}'


def _header(path) -> str:
    lines = path.read_text().splitlines()
    return '\n'.join(lines[:next(index for index, line in enumerate(lines) if not line.startswith('#'))])


def test_metafile__has_every_config():
    entries = list(BaseInferencer._get_models_from_metafile(str(ROOT)))
    assert sorted(entry['Config'] for entry in entries) == NAMES
    assert all({'Name', 'In Collection', 'Config', 'Weights'} <= set(entry) for entry in entries)
    assert all(entry['Config'].endswith(f'/{entry["Name"]}.py') for entry in entries)
    assert sorted(BaseInferencer.list_models('densevit')) == sorted(path.stem for path in CONFIGS)


def test_door__is_the_config_of_the_folder():
    door, config = (load(f'configs/{name}.py') for name in ('eomt_vitl_ade20k', 'eomt/eomt_vitl_ade20k'))
    assert door.to_dict() == config.to_dict()

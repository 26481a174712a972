"""Every config of our own models builds, learns from two images and predicts; every header says what a config is."""
import re

import pytest
import torch
from mmengine.infer import BaseInferencer
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISUALIZERS,
)
from own import build, shrink, task_batch
from shrink import CONFIGS, NAMES, OWN, ROOT, load, scope

import densevit.registry  # noqa: F401

STAGES = ('train', 'val', 'test')
PUBLISHED = [path for path in CONFIGS if path.parent.name not in ('tiny', 'overfit')]


@pytest.mark.parametrize('name', OWN)
def test_config__learns_and_predicts(name):
    """One step at rates of the config, each parameter in a group at most at the rate from which the schedule starts."""
    cfg = shrink(load(name))
    model = build(cfg)
    task = getattr(model, 'task', 'semantic')
    data = task_batch(task, model.num_classes, getattr(model, 'stuff_classes', set()))
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
        for scheduler in schedulers:
            scheduler.setdefault('end', cfg.train_cfg.max_iters)  # as mmengine's runner does
            PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optim_wrapper))
    groups = optim_wrapper.optimizer.param_groups
    is_frozen = not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert {group['stage'] for group in groups} == ({'head'} if is_frozen else {'backbone', 'head'})
    assert all(0 < group['initial_lr'] <= cfg.optim_wrapper.optimizer.lr for group in groups)
    grouped = {id(parameter) for group in groups for parameter in group['params']}
    assert grouped == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    losses = model.train_step(data, optim_wrapper)
    assert losses and all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    for sample in model.eval().val_step(task_batch('semantic', model.num_classes, set())):
        _check_prediction(sample, task, model.num_classes)


def _check_prediction(sample, task, num_classes):
    if task == 'instance':
        instances = sample.pred_instances
        assert len(instances) and torch.as_tensor(instances.masks).shape[-2:] == (64, 64)
        assert instances.labels.max() < num_classes
    elif task == 'panoptic':
        ids = sample.pred_panoptic_seg.sem_seg
        assert ids.shape == (1, 64, 64) and (ids % 1000).max() <= num_classes
    else:
        assert sample.pred_sem_seg.data.shape == (1, 64, 64)
        assert sample.pred_sem_seg.data.max() < num_classes


@pytest.mark.parametrize('name', OWN)
@pytest.mark.parametrize('scope_name', ['mmseg', 'densevit'])
def test_config__every_type_is_known(name, scope_name):
    """Run as it is, and in the scope that mmengine gives to a base named ``densevit::...``."""
    cfg = load(name, default_scope=scope_name)
    with scope(cfg):
        for hook in (*cfg.default_hooks.values(), *cfg.get('custom_hooks', ())):
            HOOKS.build(hook)
        for stage in STAGES:
            assert LOOPS.get(cfg[f'{stage}_cfg'].type)
            loader = cfg[f'{stage}_dataloader']
            assert DATASETS.get(loader.dataset.type) and DATA_SAMPLERS.get(loader.sampler.type)
            for transform in loader.dataset.pipeline:
                TRANSFORMS.build(transform)
            loads = [transform.type for transform in loader.dataset.pipeline if 'LoadImage' in transform.type]
            assert loads == ['densevit.LoadImage'], 'images are to be read as predict reads them'
        for stage in STAGES[1:]:
            METRICS.build(cfg[f'{stage}_evaluator'])
        assert MODELS.build(cfg.model.data_preprocessor)
        assert VISUALIZERS.get(cfg.visualizer.type)


@pytest.mark.parametrize('name', OWN)
def test_config__classes_match_the_dataset(name):
    cfg = load(name)
    dataset = cfg.test_dataloader.dataset
    with scope(cfg):
        metainfo = dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO
    assert len(metainfo['classes']) == cfg.model.num_classes
    if 'stuff_classes' in cfg.model:
        stuff = [label for label, is_thing in enumerate(metainfo['isthing']) if not is_thing]
        assert sorted(cfg.model.stuff_classes) == stuff


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_header__paper_and_command(path):
    header = _header(path)
    base = re.search(r"^_base_ = \['(\w+\.py)'\]$", path.read_text(), re.MULTILINE)  # a variant of another config
    assert re.search(r'arXiv:\d{4}\.\d{5}', header + (_header(path.parent / base[1]) if base else ''))
    commands = re.findall(r'(tools/\S+\.\w+) (configs/\S+\.py)', header)
    assert commands, 'no command'
    for tool, config in commands:
        assert (ROOT / tool).is_file() and ROOT / config == path


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
def test_header__numbers(path):
    header = _header(path)
    number = r'\d\d\.\d mIoU|\d\d\.\d box AP, \d\d\.\d mask AP|\d\d\.\d PQ|\d\d\.\d mask AP'
    assert re.search(rf'^# published: (({number}), \S+|no published number)', header, re.MULTILINE)
    assert re.search(r'^# hardware: ', header, re.MULTILINE)
    assert '# not trained here.' in header


def test_metafile__has_every_config():
    entries = list(BaseInferencer._get_models_from_metafile(str(ROOT)))
    assert sorted(entry['Config'] for entry in entries) == NAMES
    assert all({'Name', 'In Collection', 'Config', 'Weights'} <= set(entry) for entry in entries)
    assert all(entry['Config'].endswith(f'/{entry["Name"]}.py') for entry in entries)
    assert sorted(BaseInferencer.list_models('densevit')) == sorted(path.stem for path in CONFIGS)


def _header(path) -> str:
    lines = path.read_text().splitlines()
    return '\n'.join(lines[:next(index for index, line in enumerate(lines) if not line.startswith('#'))])


def test_door__is_the_config_of_the_folder():
    door, config = (load(f'configs/{name}.py') for name in ('eomt_vitl_ade20k', 'eomt/eomt_vitl_ade20k'))
    assert door.to_dict() == config.to_dict()

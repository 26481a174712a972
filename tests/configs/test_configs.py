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
from shrink import CONFIGS, NAMES, OPTIONS, OWN, ROOT, batch, load, scope

import densevit.registry  # noqa: F401

STAGES = ('train', 'val', 'test')
PUBLISHED = [path for path in CONFIGS if path.parent.name != 'tiny']


@pytest.mark.parametrize('name', OWN)
def test_config__learns_and_predicts(name):
    torch.manual_seed(0)
    cfg = load(name, **OPTIONS)
    with scope(cfg):
        model = MODELS.build(cfg.model)
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        losses = model.train_step(batch(model.num_classes), optim_wrapper)
        assert losses and all(torch.isfinite(loss) for loss in losses.values())
        assert all(torch.isfinite(value).all() for value in model.state_dict().values())
        samples = model.val_step(batch(model.num_classes))
    assert [sample.pred_sem_seg.data.shape for sample in samples] == [(1, 64, 64)] * 2
    assert all(sample.pred_sem_seg.data.max() < model.num_classes for sample in samples)


@pytest.mark.parametrize('name', OWN)
def test_config__every_parameter_has_a_rate(name):
    """In a group of its own stage, at most at the rate of the config, from which the schedule starts."""
    cfg = load(name, **OPTIONS)
    with scope(cfg):
        model = MODELS.build(cfg.model)
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
        for scheduler in schedulers:
            scheduler.setdefault('end', cfg.train_cfg.max_iters)  # as mmengine's runner does
            PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optim_wrapper))
    groups = optim_wrapper.optimizer.param_groups
    assert {group['stage'] for group in groups} == {'backbone', 'head'}
    assert all(0 < group['initial_lr'] <= cfg.optim_wrapper.optimizer.lr for group in groups)
    grouped = {id(parameter) for group in groups for parameter in group['params']}
    assert grouped == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize('name', OWN)
@pytest.mark.parametrize('scope_name', ['mmseg', 'densevit'])
def test_config__every_type_is_known(name, scope_name):
    """Run as it is, and in the scope that mmengine gives to a base named ``densevit::...``."""
    cfg = load(name, default_scope=scope_name)
    with scope(cfg):
        for hook in (*cfg.default_hooks.values(), *cfg.custom_hooks):
            HOOKS.build(hook)
        for stage in STAGES:
            assert LOOPS.get(cfg[f'{stage}_cfg'].type)
            loader = cfg[f'{stage}_dataloader']
            assert DATASETS.get(loader.dataset.type) and DATA_SAMPLERS.get(loader.sampler.type)
            for transform in loader.dataset.pipeline:
                TRANSFORMS.build(transform)
        for stage in STAGES[1:]:
            METRICS.build(cfg[f'{stage}_evaluator'])
        assert MODELS.build(cfg.model.data_preprocessor)
        assert VISUALIZERS.get(cfg.visualizer.type)


@pytest.mark.parametrize('name', OWN)
def test_config__classes_match_the_dataset(name):
    cfg = load(name)
    with scope(cfg):
        dataset = DATASETS.get(cfg.test_dataloader.dataset.type)
    assert len(dataset.METAINFO['classes']) == cfg.model.num_classes


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
    number = r'\d\d\.\d mIoU|\d\d\.\d box AP, \d\d\.\d mask AP'
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

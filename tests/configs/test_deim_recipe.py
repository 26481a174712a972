"""DEIMv2's recipe: the authors' numbers, and a step in each of its stages."""
from __future__ import annotations

from fractions import Fraction
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import torch
import yaml
from mmengine.optim import build_optim_wrapper
from official import repository
from own import build, shrink, task_batch
from shrink import load, scope

from densevit.registry import PARAM_SCHEDULERS

SIZES = dict(s='small', m='medium', l='large', x='xlarge')


def their_options(size):
    """The authors' config of a size, its bases merged into it."""
    def read(path):
        options = {}
        content = yaml.safe_load(path.read_text())
        for base in content.pop('__include__', ()):
            merge(options, read(path.parent / base))
        return merge(options, content)

    def merge(options, others):
        for key, value in others.items():
            options[key] = merge(options.get(key) or {}, value) if isinstance(value, dict) else value
        return options

    return read(repository('DEIMv2') / f'configs/deimv2/deimv2_dinov3_{size}_coco.yml')


@pytest.mark.parametrize('size', SIZES)
def test_numbers_are_the_authors(size):
    theirs, ours = their_options(size), load(f'configs/deim/deimv2_{SIZES[size]}_coco.py')
    epochs, iterations = theirs['epoches'], ours.epoch
    assert ours.train_cfg.max_iters == epochs * iterations
    loader, collate = theirs['train_dataloader'], theirs['train_dataloader']['collate_fn']
    augment, (mixing, scales) = ours.train_dataloader.dataset.pipeline[3], ours.model.data_preprocessor.batch_augments

    def in_epochs(*shares):
        return [Fraction(share).limit_denominator(1000) * epochs for share in shares]

    assert ours.train_dataloader.dataset.pipeline == ours.train_pipeline
    assert in_epochs(*augment.starts) == loader['dataset']['transforms']['policy']['epoch']
    assert in_epochs(*mixing.mix_up_during) == collate['mixup_epochs']
    assert in_epochs(*mixing.copy_blend_during) == collate['copyblend_epochs']
    assert (in_epochs(scales.until), scales.repeat) == ([collate['stop_epoch']], collate['base_size_repeat'])
    assert in_epochs(ours.model.criterion.late_matching) == [theirs['DEIMCriterion']['matcher']['matcher_change_epoch']]
    warm_up, cosine = ours.param_scheduler
    assert (warm_up.end, cosine.eta_min_ratio) == (theirs['warmup_iter'], theirs['lr_gamma'])
    assert [cosine.begin, cosine.end] == [
        epoch * iterations for epoch in (theirs['flat_epoch'], epochs - theirs['no_aug_epoch'])]
    options = theirs['optimizer']
    assert (ours.optim_wrapper.optimizer.lr, ours.optim_wrapper.optimizer.weight_decay) == (
        options['lr'], options['weight_decay'])
    assert ours.optim_wrapper.paramwise_cfg.backbone_lr_mult * options['lr'] == pytest.approx(
        options['params'][0]['lr'])


def test_rates_are_the_authors():
    """Rising by a square, flat, falling by a cosine to a half; over 900 iterations, which they count two later."""
    path = repository('DEIMv2') / 'engine/optim/lr_scheduler.py'
    spec = spec_from_file_location('their_lr_scheduler', path)
    official = module_from_spec(spec)
    spec.loader.exec_module(official)
    cfg = load('configs/deim/deimv2_small_coco.py')
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.)
    with scope(cfg):
        schedulers = [
            PARAM_SCHEDULERS.build(dict(each, begin=begin, end=end), default_args=dict(optimizer=optimizer))
            for each, begin, end in zip(cfg.param_scheduler, (0, 400), (200, 800), strict=True)]
    least = cfg.param_scheduler[1].eta_min_ratio
    for iteration in range(900):
        expected = official.flat_cosine_schedule(900, 200, 400, 100, iteration, 1., least)
        assert optimizer.param_groups[0]['lr'] == pytest.approx(expected, abs=.012), iteration
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


@pytest.mark.parametrize('epoch', [0, 30, 110, 130])
def test_a_step_in_each_stage(epoch):
    cfg = shrink(load('configs/deim/deimv2_small_coco.py'))
    model = build(cfg)
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for module in model.modules():
        if hasattr(type(module), 'set_progress'):
            module.set_progress(epoch / cfg.epochs)
    for _ in range(2):
        losses = model.train_step(task_batch('detection', model.num_classes, set()), optim_wrapper)
        assert all(torch.isfinite(loss) for loss in losses.values())

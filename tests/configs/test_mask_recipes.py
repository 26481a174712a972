"""Recipes of mask classification against the authors' configuration files: wrong values run, too."""
import inspect
import re
from pathlib import PurePath

import pytest
import torch
from mmengine.registry import MODELS, TRANSFORMS
from shrink import NAMES, ROOT, load, scope, steps

# Images of a step, learning rate, its share in the backbone, weight decay, clipped norm, steps; then of the training
# images: the crop, least and largest scale (of the crop, or the shorter side in pixels), change of hue in OpenCV's
# units, and what is around a smaller image. Later rows replace values of earlier ones.
RECIPES = [
    ('mask2former/mask2former_swin_*', dict(
        batch=16, lr=1e-4, backbone=.1, decay=.05, clip=.01, queries=100, drop_path=.3, pad=128)),
    ('mask2former/mask2former_swin_*_ade20k', dict(steps=160000, hue=18)),
    ('mask2former/mask2former_swin_[ts]_ade20k', dict(crop=(512, 512), scales=(256, 1024), test=(2048, 512))),
    ('mask2former/mask2former_swin_[bl]_ade20k', dict(crop=(640, 640), scales=(320, 1280), test=(2560, 640))),
    ('mask2former/mask2former_swin_*_coco_*', dict(
        steps=368750, drops=[327778, 355092], crop=(1024, 1024), scales=(.1, 2.), hue=None, test=(1333, 800))),
    ('mask2former/mask2former_swin_l_coco_*', dict(steps=737500, drops=[655556, 710184], queries=200)),
    ('mask2former/mask2former_swin_*_panoptic', dict(score_threshold=.8, overlap_threshold=.8)),
    ('maskformer/maskformer_swin_*', dict(
        batch=16, lr=6e-5, backbone=1., decay=.01, clip=.01, queries=100, drop_path=.3, warmup=1500)),
    ('maskformer/maskformer_r50_*', dict(batch=16, lr=1e-4, backbone=.1, decay=1e-4, clip=.01, queries=100)),
    ('maskformer/maskformer_*_ade20k', dict(
        steps=160000, crop=(512, 512), scales=(256, 1024), hue=18, pad=128, test=(2048, 512))),
    ('maskformer/maskformer_swin_[bl]_ade20k', dict(crop=(640, 640), scales=(320, 1280), test=(2560, 640))),
    ('maskformer/maskformer_*_panoptic', dict(
        batch=64, steps=554400, drops=[369600], crop=(384, 600), scales=(480, 800), hue=None, test=(1333, 800),
        longest=1333, score_threshold=.8, overlap_threshold=.8)),
    ('maskformer/maskformer_swin_l_coco_panoptic', dict(longest=1000)),
    ('pem/pem_r50_*', dict(batch=32, backbone=.1, decay=.05, clip=.01, queries=100, hue=18)),
    ('pem/pem_r50_ade20k', dict(
        lr=4e-4, steps=160000, crop=(512, 512), scales=(256, 1024), pad=128, test=(2048, 512))),
    ('pem/pem_r50_cityscapes', dict(lr=7e-4, steps=90000, crop=(512, 1024), scales=(512, 2048))),
    # Of 1281 pixels each in the authors' files; zeros around normalised images are 127.5.
    ('kmax/kmax_*', dict(
        batch=64, lr=5e-4, backbone=.1, decay=.05, clip=None, queries=128, warmup=5000, crop=(1280, 1280), hue=18,
        pad=127.5, test=(1280, 1280), pixel_threshold=.4, overlap_threshold=.8)),
    ('kmax/kmax_*_coco_panoptic', dict(
        steps=150000, scales=(.2, 2.), head_drop_path=.2, thing_threshold=.7, stuff_threshold=.5)),
    ('kmax/kmax_*_ade20k_panoptic', dict(
        steps=100000, scales=(.5, 2.), head_drop_path=0., thing_threshold=.4, stuff_threshold=.4)),
    *((f'kmax/kmax_convnext_{size}_coco_panoptic', dict(drop_path=rate))
      for size, rate in zip('tsbl', (.3, .4, .5, .6), strict=True)),
    ('kmax/kmax_convnext_l_ade20k_panoptic', dict(drop_path=.7)),
    ('vit_p/*', dict(batch=80, lr=9e-3, backbone=1., decay=0., clip=1., steps=60 * 320, crop=(518, 518),
                     scales=(.5, 1.), hue=None, points=250)),
]
PUBLISHED = [name for name in NAMES if PurePath(name).match('configs/*/*.py') and any(
    PurePath(name).match(f'configs/{pattern}.py') for pattern, _ in RECIPES)]
READ = dict(
    lr=lambda cfg: cfg.optim_wrapper.optimizer.lr,
    backbone=lambda cfg: cfg.optim_wrapper.paramwise_cfg.get('backbone_lr_mult', 1.),
    decay=lambda cfg: cfg.optim_wrapper.optimizer.weight_decay,
    clip=lambda cfg: (cfg.optim_wrapper.get('clip_grad') or {}).get('max_norm'),
    steps=lambda cfg: cfg.train_cfg.max_iters,
    drops=lambda cfg: next(part.milestones for part in _schedule(cfg) if 'milestones' in part),
    warmup=lambda cfg: next(part.end for part in _schedule(cfg) if part.type == 'LinearLR'),
    queries=lambda cfg: _option(cfg.model.head, 'num_queries'),
    points=lambda cfg: cfg.model.head.num_points,
    drop_path=lambda cfg: cfg.model.backbone.drop_path_rate,
    head_drop_path=lambda cfg: cfg.model.head.drop_path,
    crop=lambda cfg: tuple(_crop(cfg).get('crop_size') or _crop(cfg)['size']),
    scales=lambda cfg: _scales(cfg),
    longest=lambda cfg: max(max(scale) for scale in next(
        step.scales for step in steps(cfg.train_pipeline) if step.type == 'RandomChoiceResize')),
    hue=lambda cfg: _hue(cfg),
    pad=lambda cfg: _pad(cfg),
    test=lambda cfg: tuple(next(step.scale for step in steps(cfg.test_pipeline) if 'Resize' in step.type)))


def test_recipes__authors_values():
    compared = {name: (_ours(name, authors), authors) for name in PUBLISHED for authors in [_authors(name)]}
    different = {name: {key: (ours[key], authors[key]) for key in authors if ours[key] != authors[key]}
                 for name, (ours, authors) in compared.items()}
    assert {name: values for name, values in different.items() if values} == {}


def _authors(name):
    return {key: value for pattern, values in RECIPES if PurePath(name).match(f'configs/{pattern}.py')
            for key, value in values.items()}


def _ours(name, keys):
    cfg, header = load(name), (ROOT / name).read_text()
    gpus = [int(count) for count in re.findall(r'nnodes=(\d+)|nproc_per_node=(\d+)|dist_train\.sh \S+ (\d+)', header)
            for count in count if count]
    one_gpu = int(re.search(r'train_dataloader\.batch_size=(\d+)', header)[1])
    batch = cfg.train_dataloader.batch_size * torch.tensor(gpus).prod().item()
    assert batch == one_gpu, name
    read = {key: _threshold if 'threshold' in key else READ[key] for key in keys if key != 'batch'}
    return dict({key: function(cfg, key) if 'threshold' in key else function(cfg) for key, function in read.items()},
                batch=batch)


def test_recipe__every_config_is_compared():
    """Those of Mask2Former on DINOv2 are EoMT's baseline, and ECO-M2F and ReMaX other papers: no authors' files."""
    folders = {PurePath(pattern).parent.name for pattern, _ in RECIPES}
    others = [name for name in NAMES if PurePath(name).parent.name in folders and name not in PUBLISHED]
    assert all(re.search(r'_dinov2_|/eco_|/remax_', name) for name in others)


@pytest.mark.parametrize('dataset', ['coco', 'ade20k'])
def test_kmax__pads_are_zeros_of_normalised_images(dataset):
    cfg = load(f'configs/kmax/kmax_r50_{dataset}_panoptic.py')
    assert not any('Pad' in step.type for step in (*steps(cfg.train_pipeline), *steps(cfg.test_pipeline)))
    with scope(cfg):
        preprocess = MODELS.build(cfg.model.data_preprocessor)
    for training in (True, False):
        batch = dict(inputs=[torch.full((3, 40, 1280), 255)], data_samples=None)
        images = preprocess(batch, training)['inputs']
        assert images.shape == (1, 3, 1280, 1280)
        assert (images[..., :40, :] == 1).all() and (images[..., 40:, :] == 0).all()


def _schedule(cfg):
    return cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]


def _option(options, name):
    return options.get(name, inspect.signature(MODELS.get(options.type)).parameters[name].default)


def _threshold(cfg, name):
    reader = inspect.signature(MODELS.get(cfg.model.head.type).panoptic_reader)
    return cfg.model.test_cfg.get(name, reader.parameters[name].default)


def _crop(cfg):
    return next(step for step in steps(cfg.train_pipeline) if 'Crop' in step.type)


def _scales(cfg):
    for step in steps(cfg.train_pipeline):
        if step.type == 'RandomChoiceResize':
            sides = [min(scale) for scale in step.scales]
            return min(sides), max(sides)
        if range_ := step.get('ratio_range') or step.get('scale'):
            return tuple(range_)


def _hue(cfg):
    with scope(cfg):
        return next((TRANSFORMS.build(step).hue_delta for step in steps(cfg.train_pipeline)
                     if 'PhotoMetric' in step.type), None)


def _pad(cfg):
    """In the units of images; what the data preprocessor pads, it pads with zeros after the normalisation."""
    pads = [step.pad_val.img for step in steps(cfg.train_pipeline) if step.type.endswith('Pad')]
    return pads[0] if pads else cfg.model.data_preprocessor.mean[0]

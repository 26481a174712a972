"""Predictions of several threads, and of one batch, are what one thread gives picture by picture."""
from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image, ImageFile

from densevit.images import ImageError
from densevit.inference import Predictor, Result
from densevit.inference.pipeline import in_scope

SIZES = ((64, 64), (64, 96), (96, 64), (64, 80), (80, 80))


@pytest.fixture(scope='module')
def instances() -> Predictor:
    """Random instances with scores from 0 to 1."""
    torch.manual_seed(0)
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[
        dict(type='densevit.LoadImage'), dict(type='mmdet.Resize', scale=(400, 64), keep_ratio=True),
        dict(type='mmdet.PackDetInputs')]))
    model = MODELS.build(dict(
        type='densevit.MaskSegmentor', task='instance', num_classes=3,
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[120.] * 3, std=[60.] * 3),
        backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=2),
        head=dict(type='densevit.EoMT', num_queries=30, num_blocks=1)))
    for parameter in model.network.parameters():
        if parameter.ndim > 1:  # the differences of images and queries become large ones
            torch.nn.init.normal_(parameter, std=.4)
    return Predictor(model, cfg, classes=list('abc'))


@pytest.fixture(scope='module')
def stock() -> Predictor:
    """mmsegmentation's own, behind a transform that keeps the scale of the last image."""
    torch.manual_seed(0)
    cfg = Config(dict(
        default_scope='mmseg',
        test_pipeline=[dict(type='LoadImageFromFile'), dict(type='ResizeShortestEdge', scale=96, max_size=200),
                       dict(type='PackSegInputs')],
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True),
            backbone=dict(type='ResNetV1c', depth=18, norm_cfg=dict(type='BN'), base_channels=8),
            decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_classes=5, num_convs=1,
                             norm_cfg=dict(type='BN')),
            test_cfg=dict(mode='whole'))))
    with in_scope(cfg):
        model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)  # all classes somewhere
    return Predictor(model, cfg, classes=list('abcde'))


@pytest.fixture(params=['instances', 'stock'])
def predictor(request) -> Predictor:
    return request.getfixturevalue(request.param)


@pytest.fixture
def options(predictor) -> list[dict]:
    """Options of calls; a semantic model has no least score."""
    return [dict(min_score=.3), dict(min_score=.9)] if hasattr(predictor.model, 'task') else [{}]


@pytest.fixture
def pictures(tmp_path, shared_data) -> list[Path]:
    photograph = Image.open(sorted((shared_data / 'dsb2018_nuclei' / 'images').iterdir())[0]).convert('RGB')
    paths = [tmp_path / f'{height}x{width}.png' for height, width in SIZES]
    for path, (height, width) in zip(paths, SIZES, strict=True):
        photograph.crop((0, 0, width, height)).save(path)
    return paths


def assert_same(one: Result, other: Result, tolerance: float = 0.) -> None:
    assert (one.task, one.source, one.notes) == (other.task, other.source, other.notes)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=tolerance)
    assert (one.segment_map != other.segment_map).mean() <= tolerance


def test_two_threads__as_one_and_nothing_is_left_behind(predictor, options, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)  # as other libraries do
    cut_off = tmp_path / 'cut.png'
    cut_off.write_bytes(pictures[0].read_bytes()[:-300])
    calls = [(path, dict(option, max_pixels=pixels)) for path, option, pixels in product(
        pictures, options, (3000, 10**6))]
    expected = [predictor.predict(path, **options) for path, options in calls]
    assert len({tuple(result.scores) for result in expected}) > 6
    state = {name: value.clone() for name, value in predictor.model.state_dict().items()}

    def shared() -> tuple:
        scope = DefaultScope.get_current_instance()
        model = predictor.model
        return (scope, list(DefaultScope._instance_dict), ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters,
                list(warnings.filters), sorted(vars(model)), len(model._forward_pre_hooks), model.training,
                model.prediction_options() if hasattr(model, 'prediction_options') else None)

    before = shared()

    def predict(step: int) -> None:
        for index in range(40):
            number = index * step % len(calls)
            path, options = calls[number]
            assert_same(predictor.predict(path, **options), expected[number])
            if not index % 8:
                with pytest.raises(ImageError, match='truncated'):
                    predictor.predict(cut_off)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(predict, (3, 7)))
    assert shared() == before
    assert all(torch.equal(value, state[name]) for name, value in predictor.model.state_dict().items())


def test_batches__as_one_by_one(predictor, options, pictures, tmp_path):
    (tmp_path / 'empty.png').write_bytes(b'')
    images = [pictures[index] for index in (0, 1, 0, 2, 4, 1, 3, 0, 0, 2, 1)]
    sizes = []  # of batches: pictures of 80x80 and 64x64 are one size to the model
    handle = predictor.model.register_forward_pre_hook(
        lambda model, args, kwargs: sizes.append(len(kwargs['inputs'])), with_kwargs=True)
    together = predictor.predict(images, batch_size=8, **options[0])
    handle.remove()
    assert sum(sizes) == len(images) and sorted(sizes) == [1, 2, 3, 5]
    for image, result in zip(images, together, strict=True):
        assert_same(result, predictor.predict(image, **options[0]), 1e-5)
    *_, failed, last = predictor.outcomes([*images, tmp_path / 'empty.png', images[0]], batch_size=8)
    assert isinstance(failed, ImageError) and last.source == images[0]


def test_batches__few_pictures_wait(make_predictor):
    """However many sizes there are, no more pictures are read ahead than four batches hold."""
    read = []

    def images():
        for side in range(20, 60):
            read.append(side)
            yield np.full((side, side, 3), (0, 0, 200), np.uint8)

    for done, result in enumerate(make_predictor().predict_iter(images(), batch_size=2)):
        assert result.image_size == (20 + done, 20 + done) and len(read) - done <= 8

from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image

from densevit.errors import DoubtfulResultWarning
from densevit.images import ImageError
from densevit.inference.pipeline import InferencePipeline, in_scope
from densevit.inference.predictor import Predictor
from densevit.inference.task import PredictionError

RESIZE = dict(type='Resize', scale=(2048, 512), keep_ratio=True)


def test_predict__right_pixels(make_predictor, picture):
    for transforms in ((), (dict(type='Resize', scale=(120, 80), keep_ratio=True),)):
        result = make_predictor(*transforms).predict(picture)
        expected = np.array([0, 2])[(np.arange(60) >= 24).astype(int)][None].repeat(40, 0)
        expected[:10] = 1
        assert (result.semantic == expected).mean() > 0.99  # resizing blends a border
        assert [area.name for area in result.areas()] == ['blue', 'red', 'green']
        assert result.scores[1] > 0.97 and abs(result.scores[0] - 0.8) < 0.02
        np.testing.assert_array_equal(result.image, picture)


def test_predict__one_gives_one_and_a_list_gives_a_list(make_predictor, picture, tmp_path):
    predictor = make_predictor()
    path = tmp_path / 'a.png'
    Image.fromarray(picture).save(path)
    single = predictor.predict(path)
    assert single.source == path
    results = predictor.predict([picture[:, ::-1], path, Image.fromarray(picture[:5])])
    assert [result.image_size for result in results] == [(40, 60), (40, 60), (5, 60)]
    assert [result.source for result in results] == [None, path, None]
    np.testing.assert_array_equal(results[0].semantic, single.semantic[:, ::-1])
    assert predictor.predict([]) == [] and len(predictor.predict((path,))) == 1


def test_predict_iter__lazy_with_progress(make_predictor, picture):
    calls = []
    predictor = make_predictor()
    results = predictor.predict_iter([picture] * 3, progress=lambda done, total: calls.append((done, total)))
    assert predictor.model.sizes == []
    assert len(list(results)) == 3 and calls == [(1, 3), (2, 3), (3, 3)]
    list(predictor.predict_iter(iter([picture]), progress=lambda *call: calls.append(call)))
    assert calls[-1] == (1, None)


@pytest.mark.parametrize('size', [(1, 1), (3, 20000), (20000, 3)])
def test_predict__extreme_sizes(make_predictor, size):
    image = np.full((*size, 3), (255, 0, 0), np.uint8)
    image.reshape(-1, 3)[image[..., 0].size * 2 // 3:] = 0, 0, 255
    if size[0] == 3:  # the last third of the columns, not the last row
        image = np.ascontiguousarray(image.reshape(size[1], size[0], 3).transpose(1, 0, 2))
    for transforms in ((), (RESIZE,)):
        predictor = make_predictor(*transforms)
        result = predictor.predict(image)
        assert result.semantic.shape == size
        assert result.semantic[0, 0] == (2 if size == (1, 1) else 0)
        if size != (1, 1):
            assert result.semantic[-1, -1] == 2
            np.testing.assert_allclose([area.fraction for area in result.areas()], [2 / 3, 1 / 3], atol=2e-3)
        assert max(height * width for height, width in predictor.model.sizes) < 3_000_000


def test_predict__large_picture_within_the_budget(make_predictor, picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / 'a.png')
    predictor = make_predictor(max_pixels=600)
    result = predictor.predict(tmp_path / 'a.png')
    assert result.notes == (f'{tmp_path / "a.png"}: shrunk from 60x40 to 30x20 pixels; a larger max_pixels keeps more',)
    assert predictor.predict(picture, max_pixels=10**6).notes == () and predictor.model.sizes.pop() == (40, 60)
    assert predictor.model.sizes == [(20, 30)] and result.semantic.shape == (40, 60)
    assert (result.semantic[:10] == 1).all() and (result.semantic[10:, 24:] == 2).all()
    assert make_predictor(classes=[str(i) for i in range(1024)]).max_pixels == 2**19


def test_predict__bad_picture(make_predictor, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'')
    with pytest.raises(ImageError, match='empty'):
        make_predictor().predict(tmp_path / 'a.png')


@pytest.mark.parametrize(('options', 'error', 'message'), [
    (dict(batch_size='8'), ValueError, 'batch_size'), (dict(batch_size=2.5), ValueError, 'batch_size'),
    (dict(max_pixels=0), ValueError, 'max_pixels'), (dict(max_pixels='large'), ValueError, 'max_pixels'),
    (dict(min_score='.3'), ValueError, 'min_score'), (dict(min_score=1.5), ValueError, 'min_score'),
    (dict(min_scores=.3), TypeError, 'min_score'),
])
def test_predict__odd_options(make_predictor, picture, options, error, message):
    """They are refused before a picture is read, in words of one line with the option to change."""
    predictor = make_predictor()
    with pytest.raises(error, match=message) as caught:
        predictor.outcomes(['no_such_file.png'], **options)
    assert '\n' not in str(caught.value)
    predictor.outcomes([picture], min_score=np.float32(.3))


def test_predict__min_score_of_what_has_no_instances(make_predictor, picture):
    with pytest.raises(ValueError, match='min_score is for instances.*leave'):
        make_predictor().predict(picture, min_score=.3)


def test_predict__neither_a_picture_nor_a_list(make_predictor, picture):
    with pytest.raises(TypeError, match='predict_iter'):
        make_predictor().predict(iter([picture]))
    with pytest.raises(TypeError, match="\\['photos/'\\]"):
        make_predictor().predict_iter('photos/').__next__()


def test_predictor__copies_and_pickles(make_predictor, picture):
    predictor = make_predictor()
    for other in (deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        np.testing.assert_array_equal(other.predict(picture).semantic, predictor.predict(picture).semantic)


def test_predict__notes_of_a_doubtful_picture(make_predictor, picture):
    with pytest.warns(DoubtfulResultWarning, match='the array: 16-bit values') as caught:
        result = make_predictor(notes=['of the model']).predict(picture.astype(np.uint16))
    assert result.notes == ('of the model', str(caught[0].message)) and result.to_dict()['notes'] == list(result.notes)


def test_predict__out_of_memory(make_predictor, picture, monkeypatch):
    predictor = make_predictor()

    def fail(batch):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(predictor.model, 'test_step', fail)
    with pytest.raises(PredictionError, match='1 x 60x40 pixels.*max_pixels'):
        predictor.predict(picture)
    with pytest.raises(PredictionError, match='3 x 60x40 pixels.*batch_size than 3'):
        predictor.predict([picture] * 3, batch_size=4)


def test_pipeline__drops_what_loads_and_keeps_the_rest(picture):
    cfg = Config(dict(default_scope='mmseg', test_dataloader=dict(dataset=dict(dataset=dict(pipeline=[
        dict(type='LoadImageFromFile', to_float32=True), dict(type='mmseg.LoadAnnotations', reduce_zero_label=True),
        dict(type='RandomFlip', prob=1.0), dict(type='PackSegInputs')])))))
    pipeline = InferencePipeline(cfg)
    inputs, data_sample = pipeline(pipeline.load(picture)[1], 'a.png')
    assert inputs.dtype == torch.float32
    np.testing.assert_array_equal(inputs.permute(1, 2, 0), picture[:, ::-1, ::-1])
    assert data_sample.img_path == 'a.png' and data_sample.ori_shape == (40, 60)
    with pytest.raises(ValueError, match='no test pipeline'):
        InferencePipeline(Config(dict(model=dict())))


@pytest.mark.parametrize('mode', [dict(mode='whole'), dict(mode='slide', crop_size=(32, 32), stride=(20, 20))])
def test_stock_mmseg_model(picture, mode):
    """mmsegmentation's own EncoderDecoder gives logits; the result agrees with what it returns."""
    cfg = Config(dict(
        default_scope='mmseg',
        test_pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=(96, 64), keep_ratio=True),
                       dict(type='PackSegInputs')],
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True,
                                   test_cfg=dict(size_divisor=32)),
            backbone=dict(type='ResNetV1c', depth=18, norm_cfg=dict(type='BN'), base_channels=8),
            decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_classes=5, num_convs=1,
                             norm_cfg=dict(type='BN')),
            test_cfg=mode)))
    with in_scope(cfg):
        model = MODELS.build(cfg.model)
    predictor = Predictor(model, cfg, classes=list('abcde'))
    result = predictor.predict(picture)
    pipeline = InferencePipeline(cfg)
    inputs, data_sample = pipeline(pipeline.load(picture)[1])
    with torch.no_grad():
        sample, = model.test_step(dict(inputs=[inputs], data_samples=[data_sample]))
    np.testing.assert_array_equal(result.semantic, sample.pred_sem_seg.data[0])
    confidence = sample.seg_logits.data.softmax(0).max(0).values.numpy()
    for label, score in zip(result.labels, result.scores, strict=True):
        np.testing.assert_allclose(score, confidence[result.semantic == label].mean(), rtol=1e-5)
    assert predictor.predict(picture[:1, :1]).image_size == (1, 1)

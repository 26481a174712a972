"""Opacities: trimaps that follow their pictures and tiles, objects cut out, colours without their background."""
import gc
import json
import tracemalloc

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from PIL import Image

from densevit.inference.instances import InstanceMasks
from densevit.inference.predictor import Predictor
from densevit.inference.task import PredictionError
from densevit.inference.tasks.detection import DetectionResult
from densevit.inference.tasks.matting import MattingResult
from densevit.inference.tasks.segmentation import SegmentationResult
from densevit.visualization.foreground import estimate_foreground, on_background

PIPELINE = [dict(type='densevit.LoadImage'), dict(type='densevit.PackMatting')]


class Brightness(BaseModel):
    """An opacity that is the first colour where the trimap is unknown, and the trimap elsewhere."""

    task = 'matting'

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples=None, mode='tensor', options=None):
        for image, sample in zip(inputs, data_samples, strict=True):
            alpha = self.weight * image[:1].float() / 255
            if 'trimap' in sample:
                assert sample.trimap.data.shape == alpha.shape
                alpha = torch.where(sample.trimap.data == .5, alpha, sample.trimap.data)
            sample.pred_alpha = PixelData(data=alpha)
        return data_samples


@pytest.fixture
def predictor():
    return Predictor(Brightness(), Config(dict(default_scope='mmengine', test_pipeline=PIPELINE)))


def picture(size=(60, 90)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def trimap_for(size=(60, 90)):
    return np.random.default_rng(1).integers(0, 3, size) / 2


def expected_alpha(image, trimap):
    return np.where(trimap == .5, image[..., 2] / 255, trimap)  # the model sees BGR


def test_trimap_follows_its_picture(predictor, tmp_path):
    image, trimap = picture(), trimap_for()
    expected = expected_alpha(image, trimap)
    grey = np.rint(trimap * 255).astype(np.uint8)
    (tmp_path / 'trimaps').mkdir()
    Image.fromarray(grey).save(tmp_path / 'trimaps' / 'a.png')
    Image.fromarray(image).save(tmp_path / 'a.png')
    for source, given in ((image, trimap), (image, grey), (image, tmp_path / 'trimaps' / 'a.png'),
                          (tmp_path / 'a.png', tmp_path / 'trimaps'), (tmp_path / 'a.png', {'a.png': trimap})):
        result = predictor.predict(source, trimap=given)
        assert result.alpha.dtype == np.float32 and not result.notes
        np.testing.assert_allclose(result.alpha, expected, atol=1e-6)
        np.testing.assert_array_equal(result.trimap, trimap)
    # In tiles, and of pictures that are shrunk or as thin as a strip.
    tiled = predictor.predict(image, trimap=trimap, tiles=(32, 40), overlap=.3, batch_size=2)
    np.testing.assert_allclose(tiled.alpha, expected, atol=1e-5)
    assert predictor.predict(image, trimap=trimap, max_pixels=400).alpha.shape == (60, 90)
    strip = predictor.predict(picture((2, 200)), trimap=trimap_for((2, 200)))
    np.testing.assert_allclose(strip.alpha, expected_alpha(strip.image, strip.trimap), atol=1e-6)


def test_trimaps_are_let_go_of(predictor, tmp_path):
    """What was read beside a picture is as large as it, and of no use afterwards."""
    Image.fromarray(np.zeros((1000, 1200), np.uint8)).save(tmp_path / 'trimap.png')
    image = picture((1000, 1200))
    tracemalloc.start()
    try:
        predictor.predict(image, trimap=tmp_path / 'trimap.png', tiles=(600, 700))
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2e6


def test_what_is_wrong_is_said(predictor, tmp_path):
    image = picture()
    assert 'no trimap' in predictor.predict(image).notes[0]
    for options, match in ((dict(trimap=trimap_for((60, 80))), 'has .60, 80. pixels and the picture .60, 90.'),
                           (dict(trimap=image), 'give .H, W.'), (dict(width=3), 'give mask with it'),
                           (dict(mask=trimap_for(), trimap=trimap_for()), 'give one of them'),
                           (dict(mask=trimap_for(), width=-1), '0 or more'), (dict(trimap=tmp_path), 'has no trimap')):
        with pytest.raises(ValueError, match=match):
            predictor.predict(image, **options)


def test_whole_numbers_of_any_type(predictor):
    """Of 64 bits, 128 was taken for foreground; 0 and 1 in 8 bits for nothing at all."""
    image, trimap = picture(), trimap_for()
    grey, mask = np.rint(trimap * 255), trimap > .5
    for given in (grey.astype(np.int64), grey.astype(np.uint16), np.rint(trimap * 65535).astype(np.uint16)):
        np.testing.assert_array_equal(predictor.predict(image, trimap=given).trimap, trimap)
    expected = predictor.predict(image, mask=mask, width=1).trimap
    assert (expected == .5).any()
    for dtype, most in ((np.uint8, 1), (np.int64, 1), (np.uint8, 255), (np.int32, 255)):
        given = mask.astype(dtype) * dtype(most)
        np.testing.assert_array_equal(predictor.predict(image, mask=given, width=1).trimap, expected)


def test_nan_is_no_opacity(predictor):
    """As of finite weights in a type of too little range; the other pictures of a batch have results."""
    class Overflowing(Brightness):
        def forward(self, inputs, data_samples=None, mode='tensor', options=None):
            samples = super().forward(inputs, data_samples, mode, options)
            samples[0].pred_alpha.data[0, 3, 4] = float('nan')
            return samples

    broken = Predictor(Overflowing(), predictor.cfg)
    bad, good = broken.outcomes([picture(), picture()], batch_size=2)
    assert isinstance(bad, PredictionError) and 'gave NaN (pred_alpha)' in str(bad)
    assert isinstance(good, MattingResult)


def test_what_holds_no_object_is_said(predictor):
    image = picture()
    assert 'no pixel that may belong to an object' in predictor.predict(image, mask=np.zeros((60, 90))).notes[-1]
    for wrong in (np.full((60, 90), np.nan), np.full((60, 90), 255.), np.full((60, 90), -1)):
        with pytest.raises(ValueError, match='no shares: give numbers in'):
            predictor.predict(image, trimap=wrong)
    with pytest.raises(ValueError, match='width=nan'):
        predictor.predict(image, mask=np.ones((60, 90)), width=float('nan'))
    with pytest.raises(ValueError, match='EXIF orientation'):
        predictor.predict(image, trimap=trimap_for((90, 60)))


def test_folder_of_trimaps__holds_other_files(predictor, tmp_path):
    """As ``--json`` writes beside pictures; of two pictures none is taken for the other."""
    image, trimap = picture(), trimap_for()
    Image.fromarray(image).save(tmp_path / 'a.png')
    folder = tmp_path / 'trimaps'
    folder.mkdir()
    (folder / 'a.json').write_text('{}')
    with pytest.raises(ValueError, match='has no trimap for'):
        predictor.predict(tmp_path / 'a.png', trimap=folder)
    Image.fromarray(np.rint(trimap * 255).astype(np.uint8)).save(folder / 'a.png')
    np.testing.assert_array_equal(predictor.predict(tmp_path / 'a.png', trimap=folder).trimap, trimap)
    Image.fromarray(np.zeros((60, 90), np.uint8)).save(folder / 'a.bmp')
    with pytest.raises(ValueError, match=r'a\.bmp and .*a\.png may both be the trimap of .*a\.png: remove one'):
        predictor.predict(tmp_path / 'a.png', trimap=folder)


def test_cut_out_of_a_segment(predictor, tmp_path):
    """The band around the edge is the model's, the rest the mask's, of segments and of objects with masks."""
    image, mask = picture(), np.zeros((60, 90), bool)
    mask[10:50, 20:80] = True
    Image.fromarray(image).save(tmp_path / 'a.png')
    common = dict(classes=('cat', ), palette=((255, 0, 0), ), source=tmp_path / 'a.png')
    labels, scores = np.array([0]), np.array([.9], np.float32)
    segment = SegmentationResult.from_instances(image, mask[None], labels, scores, **common)
    found = DetectionResult(image, boxes=np.float32([[20, 10, 80, 50]]), labels=labels, scores=scores,
                            masks=InstanceMasks.of([mask], mask.shape), **common)
    for result in (segment, found):
        matte = result.cutout(0, predictor, width=4)
        assert isinstance(matte, MattingResult) and matte.source == tmp_path / 'a.png'
        assert (matte.alpha[14:46, 24:76] == 1).all() and (matte.alpha[:6] == 0).all()
        np.testing.assert_allclose(matte.alpha[7:13, 30:70], image[7:13, 30:70, 2] / np.float32(255), atol=1e-6)
        assert 0 < (result.cutout(0, predictor).trimap == .5).mean() < .3
    files = matte.save(tmp_path / 'out.jpg', alpha=True, json=True)
    assert [file.name for file in files] == ['out.jpg', 'out.jpg.json', 'out.jpg.cutout.png', 'out.jpg.alpha.png']
    with Image.open(files[2]) as cutout, Image.open(files[3]) as alpha:
        assert cutout.mode == 'RGBA' and alpha.mode == 'L' and cutout.size == (90, 60)
        np.testing.assert_array_equal(np.asarray(cutout)[..., 3], np.asarray(alpha))
        np.testing.assert_allclose(np.asarray(alpha) / 255, matte.alpha, atol=.002)
    shares = json.loads(files[1].read_text())
    assert shares['opaque'] + shares['partly_transparent'] + shares['transparent'] == pytest.approx(1)
    boxes = DetectionResult(image, boxes=found.boxes, labels=labels, scores=scores, **common)
    with pytest.raises(ValueError, match='boxes alone'):
        boxes.cutout(0, predictor)


def test_colours_of_the_foreground():
    """Of a red object before green, the green is gone where half of it shows."""
    y, x = np.mgrid[:120, :160]
    alpha = np.clip((40 - np.hypot(y - 60, x - 80)) / 8 + .5, 0, 1)
    image = np.rint(alpha[..., None] * np.array([200, 20, 20]) + (1 - alpha[..., None]) * np.array([10, 180, 10]))
    colors = estimate_foreground(image.astype(np.uint8), alpha)
    inside = alpha > .1
    assert np.abs(colors[inside].astype(int) - [200, 20, 20]).max() < 20
    assert np.abs(image[inside] - [200, 20, 20]).max() > 100
    again = on_background(colors, alpha, (10, 180, 10))
    assert np.abs(again - image)[inside].max() < 20
    assert on_background(colors, alpha).shape == (120, 160, 3)
    with pytest.raises(ValueError, match='give a colour'):
        on_background(colors, alpha, np.zeros((3, 3, 3)))

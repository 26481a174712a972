"""Large pictures in tiles: what their borders cut comes out once and whole."""
from __future__ import annotations

import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from PIL import Image
from pycocotools import mask as coco_masks
from randomised import randomise
from rectangle_model import CLASSES, draw, rectangle_predictor

from densevit.images import ImageError
from densevit.inference import Predictor, cli, tasks
from densevit.inference.result import Result
from densevit.inference.task import PredictionError, Task
from densevit.registry import MODELS

VIT = dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2)
# Of 400x600 pixels; tiles of 160 with an overlap of 32 begin at 0, 120, 240 and at 0, 110, 220, 330 and 440.
PICTURE = {
    (10, 10, 30, 34): (0, 250),  # in one tile
    (100, 20, 125, 50): (0, 200),  # on a border, in the overlap of two tiles
    (150, 110, 170, 130): (1, 210),  # in a corner that four tiles see
    (205, 60, 235, 90): (2, 220),  # whole in a tile, cut by another
    (300, 180, 520, 390): (1, 180),  # larger than a tile
}


@pytest.fixture
def image() -> np.ndarray:
    return draw((400, 600), PICTURE)


def found(result) -> dict[tuple[int, ...], tuple[int, int]]:
    return {tuple(box): (label, round(float(score) * 255)) for box, label, score in zip(
        result.boxes.round().astype(int).tolist(), result.labels.tolist(), result.scores, strict=True)}


@pytest.mark.parametrize('with_masks', [False, True])
@pytest.mark.parametrize('options', [
    {}, dict(whole_picture=False), dict(merge='nms'), dict(merge_metric='ios'), dict(overlap=.5), dict(batch_size=4),
    dict(class_agnostic=True), dict(tiles=(160, 600)), dict(tiles=170, overlap=.25)])
def test_each_object_once_with_its_full_box(image, options, with_masks):
    predictor = rectangle_predictor(with_masks=with_masks)
    result = predictor.predict(image, **{'tiles': (160, 160), 'min_score': .3, **options})
    assert found(result) == PICTURE and len(result.labels) == len(PICTURE)
    assert (np.diff(result.scores) <= 0).all()
    if with_masks:
        masks = np.asarray(result.masks)
        assert masks.shape == (5, 400, 600)
        for mask, (x0, y0, x1, y1) in zip(masks, result.boxes.round().astype(int), strict=True):
            expected = np.zeros((400, 600), bool)
            expected[y0:y1, x0:x1] = True
            np.testing.assert_array_equal(mask, expected)


def test_a_piece_with_a_better_score_does_not_stand_for_the_object(image):
    """Every tile scores what it shows; the object has the best of them and the box of what is whole."""
    image[60:90, 230:235, 2] = 255  # an end that the tile which cuts the object shows as well
    result = rectangle_predictor().predict(image, tiles=(160, 160), whole_picture=False)
    assert found(result)[205, 60, 235, 90] == (2, 255)
    pieces = rectangle_predictor().predict(image, tiles=(160, 160), whole_picture=False, merge='nms')
    assert (300, 180, 520, 390) not in found(pieces)  # and nothing is left but pieces of it
    assert {(205, 60, 235, 90), (100, 20, 125, 50)} <= set(found(pieces))


def test_neighbours_stay_apart():
    """Of one class, side by side on the borders of tiles, close in scores."""
    rectangles = {(x, y, x + 18, y + 26): (0, 200 + (x + y) % 50) for x in range(4, 560, 20) for y in range(4, 360, 28)}
    image = draw((400, 600), rectangles)
    for options in ({}, dict(merge='nms'), dict(overlap=.5)):
        for with_masks in (False, True):
            predictor = rectangle_predictor(with_masks=with_masks)
            assert found(predictor.predict(image, tiles=(160, 160), **options)) == rectangles


def test_one_tile_is_the_picture(image):
    """No overlap is looked at: the result is that without tiles."""
    predictor = rectangle_predictor(with_masks=True)
    expected = predictor.predict(image)
    for tiles in ((400, 600), (1000, 1000), 600):
        result = predictor.predict(image, tiles=tiles)
        assert result.notes == () and predictor.model.batches[-1] == (1, 400, 600)
        np.testing.assert_array_equal(result.boxes, expected.boxes)
        np.testing.assert_array_equal(result.scores, expected.scores)
        np.testing.assert_array_equal(result.masks, expected.masks)


def test_duplicates_of_one_tile_are_the_model_s_affair():
    """A frame and what is in it have nearly one box; without tiles they are two objects, and so they are with them."""
    image = draw((200, 400), {(20, 20, 90, 90): (0, 250), (22, 22, 88, 88): (1, 0), (24, 24, 86, 86): (0, 200)})
    predictor = rectangle_predictor()
    assert found(predictor.predict(image, tiles=(200, 200))) == found(predictor.predict(image))


def test_a_shrunk_whole_and_a_pipeline_that_resizes(image):
    """The whole picture is predicted small, with what is large; boxes and masks of small objects are of the tiles."""
    shrink = dict(type='Resize', scale=(160, 160), keep_ratio=False)
    predictor = rectangle_predictor(shrink, with_masks=True, least=12)
    assert len(predictor.predict(image).labels) == 1  # the large one
    result = predictor.predict(image, tiles=(160, 160))
    assert {box for box in found(result) if box[2] - box[0] < 100} == set(PICTURE) - {(300, 180, 520, 390)}
    (large,) = (box for box in result.boxes if box[2] - box[0] > 100)
    np.testing.assert_allclose(large, [300, 180, 520, 390], atol=4)


def test_of_the_whole_picture_counts_what_no_tile_shows(image):
    """Seen from afar, a small object may look like another class."""
    predictor = rectangle_predictor()
    step = predictor.model.test_step

    def confused(data):
        samples = step(data)
        for sample in samples:
            if sample.ori_shape == (400, 600):
                sample.pred_instances.labels = (sample.pred_instances.labels + 1) % 3
        return samples

    predictor.model.test_step = confused
    result = found(predictor.predict(image, tiles=(160, 160), merge='nms', class_agnostic=True))
    (large,) = (box for box in PICTURE if box[2] - box[0] > 160)
    assert result == PICTURE | {large: (2, 180)}


def test_batches_and_notes(image, tmp_path):
    Image.fromarray(image).save(tmp_path / 'large.png')
    predictor = rectangle_predictor(notes=['of the model'])
    result = predictor.predict(tmp_path / 'large.png', 4, tiles=(160, 160))
    assert predictor.model.batches == [(1, 400, 600), *[(4, 160, 160)] * 3, (3, 160, 160)]
    assert result.source == tmp_path / 'large.png'
    assert result.notes == ('of the model', 'predicted in 15 tiles of 160x160 pixels and as a whole')
    assert result.to_dict()['notes'] == list(result.notes)
    result = predictor.predict(image[:100], tiles=(160, 160), overlap=0, whole_picture=False)
    assert result.notes[1:] == ('predicted in 4 tiles of 160x100 pixels',)


def test_several_pictures_of_all_sizes(image, tmp_path):
    """Small ones are predicted together as ever, in order with large ones; one that cannot be read fails alone."""
    (tmp_path / 'empty.png').write_bytes(b'')
    small = draw((80, 80), {(5, 5, 30, 30): (2, 240)})
    pictures = [small, image, small, tmp_path / 'empty.png', image[::-1], small]
    predictor = rectangle_predictor(tiles=(160, 160), overlap=.3)
    outcomes = list(predictor.outcomes(pictures, batch_size=2))
    assert isinstance(outcomes.pop(3), ImageError) and (2, 80, 80) in predictor.model.batches
    assert [outcome.image_size for outcome in outcomes] == [(80, 80), (400, 600), (80, 80), (400, 600), (80, 80)]
    assert found(outcomes[1]) == PICTURE and found(outcomes[0]) == {(5, 5, 30, 30): (2, 240)}
    assert len(predictor.predict(image, overlap=.1).notes) == 1


def test_threads(image):
    """Each with tiles of its own, of one predictor."""
    predictor = rectangle_predictor(with_masks=True)

    def predict(side: int):
        return predictor.predict(image, tiles=(side, side), overlap=.25)

    sides = [150, 170, 190, 210] * 3
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(predict, sides))
    for side, result in zip(sides, results, strict=True):
        assert found(result) == PICTURE and f'of {side}x{side}' in result.notes[0]


def test_what_is_written_is_what_was_found(image, tmp_path):
    result = rectangle_predictor(with_masks=True).predict(image, tiles=(160, 160))
    picture, text, *masks = result.save(tmp_path / 'a.png', json=True, masks=True)
    assert Image.open(picture).width >= 600 and len(masks) == 5
    content = json.loads(text.read_text())
    for entry, path, mask in zip(content['detections'], masks, result.masks, strict=True):
        np.testing.assert_array_equal(coco_masks.decode(entry['segmentation']) > 0, mask)
        np.testing.assert_array_equal(np.asarray(Image.open(path)) > 0, mask)
        x, y, width, height = entry['bbox']
        assert (x, y, x + width, y + height) in PICTURE and entry['area'] == width * height
    assert sum(area['pixels'] for area in content['areas']) == sum(
        (x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in PICTURE)


def test_memory__of_a_large_picture_with_many_masks():
    """As pixels, 300 masks of 24 megapixels are 7 GB."""
    rectangles = {(x, y, x + 120, y + 80): (0, 250) for x in range(50, 5800, 200) for y in range(50, 3900, 390)}
    image = draw((4000, 6000), rectangles)
    predictor = rectangle_predictor(with_masks=True)
    tracemalloc.start()
    result = predictor.predict(image, tiles=(1000, 1000), whole_picture=False)
    result.to_dict()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found(result) == rectangles and len(rectangles) > 280
    assert peak < 3 * image.nbytes, f'{peak / 1e6:.0f} MB'


@pytest.mark.parametrize(('options', 'message'), [
    (dict(tiles=(16, 640)), 'tiles=.*32 or more'), (dict(tiles=(640,)), 'tiles='), (dict(tiles='640'), 'tiles='),
    (dict(tiles=(640, 6.5)), 'tiles='), (dict(tiles=True), 'tiles='), (dict(tiles=0), 'tiles='),
    (dict(tiles=640, overlap=1), 'overlap=1: .*below 1'), (dict(tiles=640, overlap=-.1), 'overlap='),
    (dict(tiles=640, overlap='a'), 'overlap='), (dict(tiles=640, overlap=float('nan')), 'overlap='),
    (dict(tiles=640, whole_picture='no'), 'whole_picture='), (dict(overlap=.3), 'overlap is about tiles'),
    (dict(merge='nms'), 'merge is about tiles'), (dict(tiles=640, merge='soft'), "merge='soft': choose 'nmm' or 'nms'"),
    (dict(tiles=640, merge_metric='giou'), 'merge_metric='), (dict(tiles=640, merge_threshold=2), 'merge_threshold=2'),
    (dict(tiles=640, class_agnostic='yes'), 'class_agnostic='), (dict(tiles=5000), 'max_pixels=16777216'),
])
def test_wrong_options_are_refused_before_a_picture_is_read(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        rectangle_predictor().outcomes(['no_such_file.png'], **options)
    assert '\n' not in str(caught.value)


def test_a_task_that_cannot(make_predictor, image):
    """It is said before a picture is read where the task is known, else with the picture."""
    predictor = make_predictor()  # a stock model, whose results tell that they are semantic
    with pytest.raises(ValueError, match='tiles: .*semantic'):
        predictor.predict(image, tiles=(160, 160))
    predictor.model.task = 'panoptic'
    predictor = Predictor(predictor.model, predictor.cfg, classes=predictor.classes)
    with pytest.raises(ValueError, match='tiles: .*leave tiles out'):
        predictor.outcomes(['no_such_file.png'], tiles=(160, 160))
    with pytest.raises(TypeError, match="'overlap': choose of max_pixels, min_score"):
        predictor.outcomes(['no_such_file.png'], overlap=.2)


def test_out_of_memory_in_a_tile(image, monkeypatch):
    predictor = rectangle_predictor()

    def fail(batch):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(predictor.model, 'test_step', fail)
    with pytest.raises(PredictionError, match='4 x 160x160 pixels.*batch_size than 4'):
        predictor.predict(image, 4, tiles=(160, 160), whole_picture=False)


def test_command(image, tmp_path, monkeypatch, capsys):
    Image.fromarray(image).save(tmp_path / 'large.png')
    monkeypatch.setattr('densevit.inference.load', lambda *args, **options: rectangle_predictor(), raising=False)
    arguments = [str(tmp_path / 'large.png'), '--out', str(tmp_path / 'out'), '--json']
    tiles = ['--tiles', '160', '160']
    assert cli.main([*arguments, *tiles, '--overlap', '.25', '--batch-size', '4', '--merge', 'nms']) == 0
    assert 'in 15 tiles of 160x160 pixels and as a whole' in capsys.readouterr().err
    content = json.loads((tmp_path / 'out' / 'large.png.json').read_text())
    assert len(content['detections']) == len(PICTURE)
    assert cli.main([*arguments, *tiles, '--no-whole-picture']) == 0
    assert 'whole' not in capsys.readouterr().err
    for wrong in (['--overlap', '.2'], ['--tiles', '8', '8'], [*tiles, '--overlap', '1'], ['--masks']):
        assert cli.main([*arguments, *wrong]) == 2
        assert capsys.readouterr().err.count('\n') == 1


def test_our_detector():
    """What a tile gives is what it gives as a picture, boxes and masks."""
    torch.manual_seed(0)
    cfg = Config(dict(default_scope='mmdet', test_pipeline=[
        dict(type='densevit.LoadImage'), dict(type='Resize', scale=(96, 64), keep_ratio=False),
        dict(type='PackDetInputs')]))
    model = MODELS.build(dict(
        type='densevit.Detector', num_classes=3, backbone=dict(VIT, out_indices=(0, 1)),
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
        head=dict(type='densevit.RFDETRSeg', embed_dim=32, num_queries=8, num_groups=1, num_layers=2, num_heads=2,
                  num_cross_heads=4, ffn_dim=32, projector_norm='layer', projector_blocks=1)))
    randomise(model)
    predictor = Predictor(model, cfg, classes=CLASSES, min_score=0.)
    image = np.random.default_rng(0).integers(0, 255, (90, 150, 3), np.uint8)
    result = predictor.predict(image, 3, tiles=(64, 96), merge='nms', whole_picture=False)
    assert result.notes == ('predicted in 4 tiles of 96x64 pixels',)
    parts = [(predictor.predict(image[top:top + 64, left:left + 96]), top, left) for top in (0, 26) for left in (0, 54)]
    boxes = np.concatenate([part.boxes + [left, top, left, top] for part, top, left in parts])
    masks = [mask for part, top, left in parts for mask in part.masks.moved(top, left, (90, 150))]
    assert 4 < len(result.labels) <= len(boxes)
    for box, mask in zip(result.boxes, result.masks, strict=True):
        distance = abs(boxes - box).max(1)
        assert distance.min() < 1e-3 and any(
            (mask != masks[index]).mean() < 1e-3 for index in np.flatnonzero(distance < 1e-3))


@dataclass(frozen=True, eq=False, repr=False)
class HeightResult(Result):
    task = 'heights'
    heights: np.ndarray


class Heights(Task):
    """Maps that are known up to a factor: each tile is brought to the whole's, and tiles fade into each other."""
    names = fields = ('heights',)
    needs_classes = False
    can_tile = True
    tile_options = dict(align=True)

    def max_pixels(self, model, num_classes):
        return None

    def read(self, sample, picture, call):
        heights = picture.canvas.restore(sample.heights.data, 'bilinear')[0].numpy()
        return HeightResult(picture.image, heights, source=picture.source, notes=picture.notes)

    def merge(self, tiles, picture, call):
        whole = next(tiles).result.heights
        total, weight = np.zeros(whole.shape), np.zeros(whole.shape)
        for result, top, left in tiles:
            height, width = result.image_size
            part = np.s_[top:top + height, left:left + width]
            factor = (whole[part] * result.heights).sum() / (result.heights**2).sum() if call.options['align'] else 1
            ramps = (np.minimum(np.arange(side) + 1, side - np.arange(side)) for side in (height, width))
            fade = np.minimum.outer(*ramps)
            total[part] += fade * factor * result.heights
            weight[part] += fade
        return HeightResult(picture.image, total / weight, source=picture.source, notes=picture.notes)


class RelativeHeights(BaseModel):
    """Green, up to a factor that the picture decides."""
    task = 'heights'

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, sample in zip(inputs, data_samples, strict=True):
            heights = image[1:2].float() / image[1].float().max()
            heights = torch.nn.functional.interpolate(heights[None], sample.ori_shape, mode='bilinear')[0]
            sample.heights = PixelData(data=heights)
        return data_samples


def test_another_task_merges_in_another_way(monkeypatch):
    """Tiles come one by one, behind the whole picture."""
    monkeypatch.setattr(tasks, 'TASKS', (*tasks.TASKS, Heights()))
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='PackSegInputs')]))
    predictor = Predictor(RelativeHeights(), cfg)
    image = np.zeros((300, 500, 3), np.uint8)
    image[..., 1] = np.linspace(10, 250, 500)
    result = predictor.predict(image, 3, tiles=(128, 128), overlap=.25)
    np.testing.assert_allclose(result.heights, image[..., 1] / 250, atol=1e-5)
    assert result.notes == ('predicted in 15 tiles of 128x128 pixels and as a whole',)
    assert abs(predictor.predict(image, tiles=(128, 128), align=False).heights - image[..., 1] / 250).max() > .2

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from densevit.inference.tasks.segmentation import ClassArea, SegmentationResult


def test_semantic__one_segment_per_class(semantic_result):
    result = semantic_result
    assert result.task == 'semantic' and result.image_size == (40, 60)
    assert result.labels.tolist() == [0, 1, 2]
    assert result.scores.tolist() == [0.75, 1.0, 0.75]
    assert result.masks.shape == (3, 40, 60) and result.masks.dtype == bool
    assert result.masks.sum((1, 2)).tolist() == [720, 596, 1080]
    assert result.semantic[0, :5].tolist() == [-1, -1, -1, -1, 1]
    assert not result.masks[:, 0, :4].any()


def test_semantic__areas_largest_first(semantic_result):
    assert semantic_result.areas() == [
        ClassArea('blue', 1080, 0.45), ClassArea('red', 720, 0.3), ClassArea('green', 596, 596 / 2400)]


def test_semantic__absent_classes_have_no_segment(picture):
    result = SegmentationResult.from_semantic(picture, np.full((40, 60), 5), [f'c{i}' for i in range(9)])
    assert result.labels.tolist() == [5] and np.isnan(result.scores).all()
    assert result.areas() == [ClassArea('c5', 2400, 1.0)]


def test_semantic__more_than_255_classes(picture):
    labels = np.full((40, 60), 255)
    labels[0] = 299
    result = SegmentationResult.from_semantic(picture, labels, [f'c{i}' for i in range(300)])
    assert result.labels.tolist() == [255, 299]


def test_semantic__nothing_labelled(picture):
    result = SegmentationResult.from_semantic(picture, np.full((40, 60), -1), ['a'])
    assert result.masks.shape == (0, 40, 60) and result.boxes.shape == (0, 4) and result.areas() == []
    assert json.loads(result.to_json())['segments'] == []


def test_instances__overlap(instance_result):
    result = instance_result
    assert result.semantic is None
    assert result.segment_map[15, 7] == 1  # the higher score is seen
    assert result.segment_map[5, 5] == 0 and result.segment_map[39, 59] == -1
    assert result.masks[0, 15, 7] and result.masks[1, 15, 7]
    # Pixels of both count once, and what is empty is left out.
    assert result.areas() == [ClassArea('blue', 200 + 400 - 50, 550 / 2400, 2)]
    assert result.boxes.tolist() == [[0, 0, 10, 20], [5, 10, 25, 30], [0, 0, 0, 0]]


def test_panoptic(picture):
    segment_map = np.full((40, 60), -1)
    segment_map[:, :20], segment_map[:, 20:30], segment_map[:10, 50:] = 0, 1, 2
    result = SegmentationResult.from_panoptic(picture, segment_map, [1, 1, 0], [0.9, 0.8, np.nan], ['sky', 'car'])
    assert result.masks.sum((1, 2)).tolist() == [800, 400, 100]
    assert result.areas() == [ClassArea('car', 1200, 0.5, 2), ClassArea('sky', 100, 100 / 2400, 1)]
    assert result.semantic[0].tolist() == [1] * 30 + [-1] * 20 + [0] * 10
    assert [segment['score'] for segment in json.loads(result.to_json())['segments']] == [0.9, 0.8, None]


def test_panoptic__stuff_has_no_instances(picture):
    segment_map = np.arange(3)[np.arange(60) // 20][None].repeat(40, 0)
    result = SegmentationResult.from_panoptic(
        picture, segment_map, [1, 1, 0], [0.9, 0.8, 0.7], ['sky', 'car'], is_instance=[True, True, False])
    assert [(area.name, area.instances) for area in result.areas()] == [('car', 2), ('sky', None)]
    assert result.instances_by_label() == {1: 2}
    cars, sky = result.to_dict()['areas']
    assert cars['instances'] == 2 and 'instances' not in sky
    with pytest.raises(ValueError, match='1 values of is_instance'):
        SegmentationResult.from_panoptic(picture, segment_map, [1, 1, 0], [1, 1, 1], ['a', 'b'], is_instance=[True])


def test_json(semantic_result):
    content = json.loads(semantic_result.to_json())
    assert content['generator'] == 'densevit' and content['task'] == 'semantic' and content['source'] is None
    assert content['image_size'] == dict(height=40, width=60)
    assert content['segments'][2] == dict(label=2, name='blue', score=0.75, pixels=1080, box=[24, 10, 60, 40])
    assert content['areas'][0] == dict(name='blue', pixels=1080, fraction=0.45)


def test_json__instances_count_their_whole_mask(instance_result):
    assert [segment['pixels'] for segment in instance_result.to_dict()['segments']] == [200, 400, 0]


def test_palette__given_or_default(picture):
    labels = np.zeros((40, 60), int)
    given = SegmentationResult.from_semantic(picture, labels, ['a', 'b'], [[1, 2, 3], [4, 5, 6]])
    assert given.palette == ((1, 2, 3), (4, 5, 6))
    short = SegmentationResult.from_semantic(picture, labels, ['a', 'b'], [[1, 2, 3]])
    assert len(set(short.palette)) == 2


def test_what_does_not_fit__refused(picture):
    for labels in (np.full((40, 60), 3), np.full((40, 60), -2), np.zeros((60, 40), int)):
        with pytest.raises(ValueError):
            SegmentationResult.from_semantic(picture, labels, ['a', 'b', 'c'])
    for masks in (np.zeros((2, 40, 60)), np.zeros((1, 60, 40))):
        with pytest.raises(ValueError):
            SegmentationResult.from_instances(picture, masks, [0], [0.5], ['a'])
    with pytest.raises(ValueError):
        SegmentationResult.from_panoptic(picture, np.ones((40, 60)), [0], [0.5], ['a'])


def test_to_supervision__missing(semantic_result, monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ImportError, match='pip install supervision'):
        semantic_result.to_supervision()


def test_to_supervision__arguments(semantic_result, monkeypatch):
    @dataclass
    class Detections:
        xyxy: np.ndarray
        mask: np.ndarray
        confidence: np.ndarray
        class_id: np.ndarray
        data: dict = field(default_factory=dict)

    monkeypatch.setitem(sys.modules, 'supervision', type(sys)('supervision'))
    monkeypatch.setattr(sys.modules['supervision'], 'Detections', Detections, raising=False)
    detections = semantic_result.to_supervision()
    assert detections.class_id.tolist() == [0, 1, 2]
    assert detections.data['class_name'].tolist() == ['red', 'green', 'blue']


def test_to_supervision__installed(semantic_result, instance_result):
    supervision = pytest.importorskip('supervision', reason='supervision is not installed')
    detections = semantic_result.to_supervision()
    assert isinstance(detections, supervision.Detections) and len(detections) == 3
    assert detections.area.tolist() == [720, 596, 1080]
    assert len(instance_result.to_supervision()) == 3


def test_boxes_and_areas__as_of_single_masks():
    """Counted once for all segments, they are what each mask says."""
    generator = np.random.default_rng(0)
    image = np.zeros((50, 70, 3), np.uint8)
    segment_map = generator.integers(-1, 6, (5, 7)).repeat(10, 0).repeat(10, 1)
    segment_map[segment_map == 4] = 3  # a segment without pixels
    labels = generator.integers(0, 3, 6)
    one = SegmentationResult.from_panoptic(image, segment_map, labels, np.ones(6), list('abc'))
    other = SegmentationResult.from_instances(image, one.masks, labels, np.ones(6), list('abc'))
    np.testing.assert_array_equal(one.boxes, other.boxes)
    assert one.areas() == other.areas() and not one.boxes[4].any()
    expected = [segment['pixels'] for segment in other.to_dict()['segments']]
    assert [segment['pixels'] for segment in one.to_dict()['segments']] == expected == one.masks.sum((1, 2)).tolist()


def test_table_and_picture(semantic_result, instance_result):
    table = semantic_result.table()
    assert table.columns == ('class', 'pixels', 'share', 'score')
    assert table.rows[0] == (('blue', '1,080', '45.0%', '0.75'), semantic_result.palette[2])
    assert instance_result.table().columns[1] == 'instances'
    nothing = replace(instance_result, labels=np.zeros(0, int), scores=np.zeros(0), is_instance=np.zeros(0, bool),
                      segment_map=np.full((40, 60), -1), _instance_masks=np.zeros((0, 40, 60), bool),
                      thresholds=dict(min_score=.5))
    assert nothing.table().rows == () and nothing.table().empty == 'nothing found: no segment passes min_score=0.5'
    assert semantic_result.draw(side_by_side=False, legend=False).shape == semantic_result.image.shape
    large = SegmentationResult.from_semantic(np.zeros((3000, 2000, 3), np.uint8), np.zeros((3000, 2000), int), ['a'])
    with Image.open(BytesIO(large._repr_png_())) as picture:  # a notebook need not hold 12 megapixels
        assert picture.format == 'PNG' and picture.width * picture.height < 1.1 * 2**20

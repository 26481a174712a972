"""Malformed folders of COCO's form: each ends in one line with the user's file and the entry, or is read as meant."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_like import write_coco_like
from PIL import Image
from test_yolo_folders import config, content, read, write_yolo

from densevit.datasets.common.folders import use_folder

NAN = float('nan')


def write(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    """One JSON file, which is divided into images to learn from and to validate on."""
    write_coco_like(folder)
    for name in ('instances', 'panoptic'):
        data = json.loads((folder / f'{name}.json').read_text())
        (folder / f'{name}.json').unlink()
        if name == 'instances':
            for annotation in data['annotations']:
                del annotation['segmentation']
            if change:
                change(data)
            (folder / 'labels.json').write_text(json.dumps(data))
    return folder


def annotation(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data['annotations'][3].update(values)


def image(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data['images'][1].update(values)


def category(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data['categories'][1].update(values)


def entry(kind: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[kind].__setitem__(1, value)


# What is changed, and what the error says beside the name of the file.
FAULTS = {
    'unknown category': (annotation(category_id=99), 'annotation 3 of image 10 has category_id 99'),
    'category of a list': (annotation(category_id=[2]), 'annotation 3 has category_id [2]'),
    'unknown image': (annotation(image_id=99), 'annotation 3 has image_id 99'),
    'no image': (lambda data: data['annotations'][3].pop('image_id'), 'annotation 3 has image_id None'),
    'NaN': (annotation(bbox=[NAN, 1, 2, 3]), 'annotation 3 of image 10'),
    'negative side': (annotation(bbox=[9, 9, -4, 5]), 'annotation 3 of image 10'),
    'three numbers': (annotation(bbox=[9, 9, 4]), 'annotation 3 of image 10'),
    'numbers in text': (annotation(bbox=['9', '9', '4', '5']), 'annotation 3 of image 10'),
    'no box': (lambda data: data['annotations'][3].pop('bbox'), 'annotation 3 of image 10'),
    'two annotations of an id': (annotation(id=1), 'two entries for annotation 1'),
    'two images of an id': (image(id=10), 'two entries for image 10'),
    'two categories of an id': (category(id=2), 'two entries for category 2'),
    'image without an id': (lambda data: data['images'][1].pop('id'), 'image number 1'),
    'image of an id that is a list': (image(id=[1]), 'image number 1'),
    'category without a name': (lambda data: data['categories'][1].pop('name'), 'category of id 5'),
    'image that is a number': (entry('images', 5), 'image number 1'),
    'annotation that is a text': (entry('annotations', 'box'), 'annotation number 1'),
    'category that is a text': (entry('categories', 'rod'), 'category number 1'),
    'nothing annotated': (lambda data: data['annotations'].clear(), 'no object'),
    'image that is not there': (image(file_name='absent.jpg'), 'absent.jpg'),
    'path of another machine': (image(file_name='C:\\data\\1.jpg'), 'C:/data/1.jpg'),
}


@pytest.mark.parametrize('kind', FAULTS)
def test_faults_are_named_with_the_file_of_the_user(tmp_path, kind):
    change, said = FAULTS[kind]
    folder = write(tmp_path / 'mine', change)
    with pytest.raises(ValueError, match='.') as error:
        use_folder(config(), str(folder), tmp_path / 'run')
    text = str(error.value)
    assert said in text and str(folder / 'labels.json') in text and '\n' not in text and ': ' in text


@pytest.mark.parametrize('text', [b'{"images": [', b'\xff\xfe{\x00}\x00', b'', b'[1, 2]', b'{"images": []}'])
def test_what_is_no_json_of_cocos_form_is_named(tmp_path, text):
    folder = write(tmp_path / 'mine')
    (folder / 'labels.json').write_bytes(text)
    with pytest.raises(ValueError, match='labels.json'):
        use_folder(config(), str(folder), tmp_path / 'run')


def hex_colours(data: dict[str, Any]) -> None:
    """As COCO Annotator writes them."""
    for each in data['categories']:
        each['color'] = '#e01f5a'


def test_colours_in_another_notation_are_none(tmp_path):
    facts, _ = read(write(tmp_path / 'mine', hex_colours), tmp_path / 'run')
    assert facts.classes == ('cell', 'rod') and not facts.palette


def test_annotations_without_ids_are_read(tmp_path):
    folder = write(tmp_path / 'mine', lambda data: [each.pop('id') for each in data['annotations']])
    _, found = read(folder, tmp_path / 'run')
    assert all(found['train'].values())


def test_images_behind_links_are_found(tmp_path):
    """Of COCO's files and of YOLO's; a link back to where one came from does no harm."""
    folder = write(tmp_path / 'mine')
    (folder / 'images').rename(tmp_path / 'pool')
    (folder / 'images').symlink_to(tmp_path / 'pool', target_is_directory=True)
    (tmp_path / 'pool' / 'back').symlink_to(folder, target_is_directory=True)
    _, found = read(folder, tmp_path / 'run')
    assert sorted(found['train'] | found['val']) == [f'{index}.jpg' for index in range(6)]
    folder = write_yolo(tmp_path / 'yolo')
    for part in ('images', 'labels'):
        (tmp_path / 'more' / part).mkdir(parents=True)
        (folder / 'train' / part / 'more').symlink_to(tmp_path / 'more' / part, target_is_directory=True)
    Image.new('RGB', (80, 40)).save(tmp_path / 'more' / 'images' / 'a.jpg')
    (tmp_path / 'more' / 'labels' / 'a.txt').write_text('1 .5 .5 .5 .5')
    (tmp_path / 'more' / 'images' / 'back').symlink_to(folder / 'train' / 'images', target_is_directory=True)
    before = len(content(folder))
    _, found = read(folder, tmp_path / 'run')
    assert found['train']['a.jpg'][0]['bbox_label'] == 1 and len(content(folder)) == before
    (folder / 'valid' / 'images' / '0.jpg').unlink()
    (folder / 'valid' / 'images' / '0.jpg').symlink_to(tmp_path / 'absent.jpg')
    with pytest.raises(ValueError, match='images/0.jpg'):
        use_folder(config(), str(folder), tmp_path / 'run')

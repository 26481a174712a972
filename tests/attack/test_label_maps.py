"""Malformed label maps and their images: refused in one line with file and remedy, for training and validation."""
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from data_faults import one_line, truncate, try_each, turn
from mmcv.transforms import Compose
from mmseg.datasets import BaseSegDataset
from pictures import png
from PIL import Image
from survey_rules import labels

from densevit.datasets.common.coco_json import EmptyDatasetError
from densevit.datasets.common.survey import survey
from densevit.datasets.common.task_checks import DataError
from densevit.datasets.segmentation.label_maps import LabelError

LABELS = np.repeat(np.arange(3, dtype=np.uint8), 8)[:, None].repeat(36, 1)  # 24 rows, 36 columns, three classes


@pytest.fixture
def maps(tmp_path):
    for part in ('images', 'labels'):
        (tmp_path / part).mkdir()
    for index in range(3):
        Image.fromarray(np.stack([LABELS * 80] * 3, -1)).save(tmp_path / 'images' / f'{index}.jpg')
        Image.fromarray(LABELS).save(tmp_path / 'labels' / f'{index}.png')
    return tmp_path


def semantic(folder, classes: int = 3, **options):
    options.setdefault('data_prefix', dict(img_path='images', seg_map_path='labels'))
    return BaseSegDataset(data_root=str(folder), metainfo=dict(classes=[f'c{index}' for index in range(classes)]),
                          serialize_data=False, **options,
                          pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')])


def saved(pixels: Any) -> Callable:
    """What writes a map in the place of the second; 32 bits as TIFF, which PNG does not have."""
    picture = Image.fromarray(np.asarray(pixels))
    return lambda folder: picture.save(folder / 'labels/1.png', format='TIFF' if picture.mode in 'IF' else 'PNG')


def as_jpeg(folder) -> None:
    Image.fromarray(LABELS).save(folder / 'labels/1.png', format='JPEG')


def first_rows_alone(folder) -> None:
    """A PNG whose data ends after 6 of 24 rows, of which decoders leave the rest 0 without a word."""
    rows = b''.join(b'\0' + bytes(row) for row in LABELS[:6] + 2)
    (folder / 'labels/1.png').write_bytes(png(36, 24, rows, 0, 8))


BROKEN_MAPS = {
    'rows that were never there': (first_rows_alone, '1.png claims 36x24 pixels, but the file holds only 25.0%'),
    'label out of range': (saved(LABELS + 5), '1.png holds label 5'),
    'one pixel out of range': (saved(np.where(np.arange(864).reshape(24, 36) == 863, 9, LABELS)), 'holds label 9'),
    '16 bits that wrap': (saved(np.full((24, 36), 258, np.uint16)), '1.png holds label 258, .* in 8 bits, as 2'),
    '32 bits that wrap': (saved(np.full((24, 36), 512, np.int32)), '1.png holds label 512, .* as 0'),
    'fractions': (saved(LABELS.astype(np.float32) + .5), '1.png holds 0.5'),
    'picture in colour': (saved(np.stack([LABELS * 30] * 3, -1)), '1.png is a colour picture'),
    'picture with alpha': (saved(np.stack([LABELS] * 4, -1)), '1.png is a colour picture .mode RGBA'),
    'grey with alpha': (saved(np.stack([LABELS] * 2, -1)), '1.png is a colour picture .mode LA'),
    'JPEG': (as_jpeg, '1.png is a JPEG'),
    'another size': (saved(LABELS[:, :30]), '1.jpg is read with 36x24 pixels, but its label map .*1.png has 30x24'),
    'turned': (saved(LABELS.T), '1.png has 24x36'),
    'image turned by EXIF': (lambda f: turn(f / 'images/1.jpg', 8), r'24x36 pixels \(turned by its EXIF orientation 8'),
    'cut': (lambda f: truncate(f / 'labels/1.png'), '1.png cannot be read'),
    'text': (lambda f: (f / 'labels/1.png').write_text('labels'), '1.png cannot be read'),
    'empty': (lambda f: (f / 'labels/1.png').write_bytes(b''), '1.png cannot be read'),
    'image cut to nothing': (lambda f: (f / 'images/1.jpg').write_bytes(b'\xff\xd8'), '1.jpg cannot be read'),
}


def test_a_broken_label_map_is_refused(maps, tmp_path_factory):
    def check(maps, fault):
        damage, words = fault
        damage(maps)
        for split in ('train', 'val'):
            with pytest.raises(DataError, match=words) as caught:
                survey(semantic(maps), split, labels(3))
            one_line(caught)

    try_each(BROKEN_MAPS, maps, tmp_path_factory.mktemp('broken'), check)


def test_all_faults_are_counted(maps):
    for index in range(3):
        Image.fromarray(LABELS + 7).save(maps / f'labels/{index}.png')
    with pytest.raises(DataError, match=r'0\.png holds label 7.*\(2 more images of the val data have faults\)'):
        survey(semantic(maps), 'val', labels(3))


def test_exif_orientation_removed__obeyed(maps):
    path = maps / 'images/1.jpg'
    turn(path, 6)
    with pytest.raises(DataError, match='exiftool -Orientation='):
        survey(semantic(maps), 'train', labels(3))
    Image.open(path).save(path)  # without EXIF
    survey(semantic(maps), 'train', labels(3))


def test_a_loader_that_ignores_exif_reads_what_is_stored(maps):
    turn(maps / 'images/1.jpg', 6)
    dataset = semantic(maps)
    dataset.pipeline = Compose([dict(type='LoadImageFromFile', color_type='color_ignore_orientation')])
    assert survey(dataset, 'train', labels(3)).looked_at == 3


def test_an_image_upside_down_by_exif_is_said(maps):
    turn(maps / 'images/1.jpg', 3)
    remarks = survey(semantic(maps), 'train', labels(3)).remarks
    assert sum(remarks.values()) == 1 and 'EXIF orientation' in next(iter(remarks))


def test_masks_of_0_and_255__obeyed(maps):
    white = np.where(LABELS > 0, 255, 0).astype(np.uint8)
    for index in range(3):
        Image.fromarray(white).save(maps / f'labels/{index}.png')
    for split in ('train', 'val'):
        with pytest.raises(LabelError, match=r'only 0 and 255.* class 1 \(c1\) never occurs.*labels == 255') as caught:
            survey(semantic(maps, 2), split, labels(2, classes=('c0', 'c1')))
        one_line(caught)
    white[white == 255] = 1
    for index in range(3):
        Image.fromarray(white).save(maps / f'labels/{index}.png')
    assert survey(semantic(maps, 2), 'train', labels(2)).classes == {0: 3, 1: 3}


def test_nothing_but_void_is_refused(maps):
    for index in range(3):
        Image.fromarray(np.full_like(LABELS, 255)).save(maps / f'labels/{index}.png')
    for split in ('train', 'val'):
        with pytest.raises(EmptyDatasetError, match='no pixel of the 3 label maps .* they hold only 255'):
            survey(semantic(maps), split, labels(3))


def test_a_picture_that_only_the_pipeline_can_read(maps):
    """mmcv reads it with another library; what neither can read is said with the reason."""
    (maps / 'images/1.jpg').rename(maps / 'images/1.exr.jpg')
    dataset = semantic(maps, data_prefix=dict(img_path='images'))
    (maps / 'images/1.exr.jpg').write_bytes(b'unknown to Pillow')
    dataset.pipeline = Compose([lambda results: dict(results, img=np.zeros((24, 36, 3), np.uint8))])
    assert survey(dataset, 'train', labels(3)).looked_at == 3
    dataset.pipeline = Compose([dict(type='LoadImageFromFile')])
    with pytest.raises(DataError, match='1.exr.jpg cannot be read by LoadImageFromFile'):
        survey(dataset, 'train', labels(3))


def test_what_is_right_passes(maps):
    """Void of 16 and 32 bits, masks of one bit and of colours by a palette, a reduced zero and a map of labels."""
    saved(np.where(LABELS == 2, 65535, LABELS).astype(np.uint16))(maps)
    survey(semantic(maps), 'train', labels(3))
    saved(np.where(LABELS == 2, -1, LABELS.astype(np.int32)))(maps)
    survey(semantic(maps), 'train', labels(3))
    saved(LABELS > 0)(maps)
    survey(semantic(maps), 'train', labels(3))
    palette = Image.fromarray(LABELS)
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    palette.save(maps / 'labels/1.png')
    assert survey(semantic(maps), 'train', labels(3)).classes == {0: 3, 1: 3, 2: 3}
    reduced = survey(semantic(maps, 2, reduce_zero_label=True), 'train', labels(2))
    assert reduced.classes == {0: 3, 1: 3}
    with pytest.raises(DataError, match='label 2, which is read as 1, but'):
        survey(semantic(maps, 2, reduce_zero_label=True), 'train', labels(1))


def test_labels_are_those_that_the_loader_gives(maps):
    """Whatever a map holds, what the survey found is in what mmsegmentation reads."""
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 4, LABELS.shape).astype(np.uint16)).save(maps / 'labels/0.png')
    Image.fromarray(generator.random(LABELS.shape) > .5).save(maps / 'labels/2.png')
    for options in (dict(), dict(reduce_zero_label=True)):
        dataset = semantic(maps, 4, **options)
        read = [np.unique(dataset[index]['gt_seg_map']).tolist() for index in range(3)]
        found = survey(dataset, 'train', labels(4)).classes
        assert found == {label: sum(label in labels for labels in read)
                         for label in {label for labels in read for label in labels} - {255}}

"""Folders and lists of depth: what is left out is counted, and names that a list cannot hold are refused."""
import os

import numpy as np
import pytest
from PIL import Image
from rooms import write_rooms

from densevit.datasets import DepthDataset
from densevit.datasets.common.folders import FolderError
from densevit.datasets.depth.folder import DepthFolder


def test_what_a_folder_leaves_out_is_counted(tmp_path):
    folder = write_rooms(tmp_path / 'rooms', 4)
    (folder / 'images/001.jpg').rename(folder / 'images/001.JPG')
    (folder / 'images/002.jpg').rename(folder / 'images/002.jpeg')
    (folder / 'depth/003.png').unlink()
    dataset = DepthDataset(data_root=str(folder), data_prefix=dict(img_path='images', depth_map_path='depth'))
    assert len(dataset) == 1
    (left, ) = [count for remark, count in dataset.remarks.items() if 'without depth' in remark]
    assert left == 1 and len(dataset.remarks) == 3
    assert any("img_suffix='.JPG'" in remark for remark in dataset.remarks)
    remedy = DepthDataset(data_root=str(folder), img_suffix='.JPG',
                          data_prefix=dict(img_path='images', depth_map_path='depth'))
    assert len(remedy) == 1
    for path in (folder / 'depth').iterdir():  # depth beside its images is none of them
        path.rename(folder / 'images' / path.name)
    beside = DepthDataset(data_root=str(folder), data_prefix=dict(img_path='images', depth_map_path='images'))
    assert not any('.png)' in remark for remark in beside.remarks if 'left out, which' in remark)


@pytest.mark.parametrize('name', ['a\tb', 'a\nb', 'a\rb'])
def test_names_that_divide_a_list__are_refused(name, tmp_path):
    folder = write_rooms(tmp_path / 'rooms', 4)
    (folder / 'images/000.jpg').rename(folder / 'images' / f'{name}.jpg')
    (folder / 'depth/000.png').rename(folder / 'depth' / f'{name}.png')
    with pytest.raises(FolderError, match='rename it'):
        DepthFolder().read(folder, {}, tmp_path / 'scratch')


def test_names_that_are_not_utf8__are_read(tmp_path):
    folder, odd = write_rooms(tmp_path / 'rooms', 4), b'\xff \xfe'
    for part, suffix in (('images', b'.jpg'), ('depth', b'.png')):
        os.rename(folder / part / f'000{suffix.decode()}', os.path.join(os.fsencode(folder / part), odd + suffix))
    (folder / 'val.txt').write_bytes(odd + b'\n')
    facts = DepthFolder().read(folder, {}, tmp_path / 'scratch')
    assert facts.counts == dict(train=3, val=1)
    (tmp_path / 'val.txt').write_bytes(facts.files['val.txt'])
    entry, = DepthDataset(str(tmp_path / 'val.txt'), data_root=str(folder)).load_data_list()
    assert os.path.exists(entry['img_path']) and os.path.exists(entry['depth_map_path'])


def test_pictures_of_other_formats_are_said(tmp_path):
    folder = write_rooms(tmp_path / 'rooms', 4)
    (folder / 'images/a.heic').write_bytes(b'1')
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / 'images/b.gif')
    assert any('1 .gif' in note and '1 .heic' in note for note in DepthFolder().read(folder, {}, tmp_path).notes)

"""Transforms of depth: no depth is invented at edges or in pads, and the camera follows."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, TRANSFORMS
from rooms import SIZE, room, write_rooms

from densevit.datasets.common.seeding import SeededIndex
from densevit.datasets.depth.camera import camera_of_view, focal_length
from densevit.datasets.depth.transforms import (
    DepthCrop,
    LoadDepth,
    PackDepth,
    ResizeForDepth,
    cut_and_resize,
    resize_depth,
)


def sample(index=0, camera=60.):
    image, depth = room(index)
    return dict(img=image, gt_depth_map=depth, camera=camera, img_shape=SIZE, ori_shape=SIZE)


@pytest.mark.parametrize('size', [(48, 64), (96, 128), (24, 32), (17, 41), (61, 50), (1, 1)])
def test_resize_depth__mixes_nothing(size):
    _, depth = room()
    resized = resize_depth(depth, size)
    assert resized.shape == size and resized.dtype == np.float32
    assert set(np.unique(resized)) <= {0., 1.5, 4.}


def test_resize_depth__places():
    """A pixel shows what is at its centre."""
    depth = np.arange(1., 49).reshape(6, 8).astype(np.float32)
    assert np.array_equal(resize_depth(depth, (12, 16))[::2, ::2], depth)
    assert np.array_equal(resize_depth(depth, (12, 16))[1::2, 1::2], depth)
    assert np.array_equal(resize_depth(depth, (2, 8)), depth[1::3])


def test_resize_depth__keeps_what_a_lidar_saw():
    depth = np.zeros((40, 40), np.float32)
    depth[3, 5], depth[2, 4], depth[33, 38] = 7., 9., 20.
    resized = resize_depth(depth, (10, 10))
    assert resized[0, 1] == 7. and resized[8, 9] == 20. and np.count_nonzero(resized) == 2


def test_resize__within_or_covering_a_size():
    """Covering, as Depth Anything and MiDaS resize: at least the size on both sides, rounded to whole patches."""
    image = np.random.default_rng(0).integers(0, 256, (340, 512, 3), np.uint8)
    sizes = {cover: ResizeForDepth(518, 14, cover=cover)(dict(img=image))['img'].shape[:2] for cover in (True, False)}
    assert sizes == {True: (518, 784), False: (350, 518)}
    cubic = ResizeForDepth(518, 14, cover=True, cubic=True)(dict(img=image))['img']
    assert np.array_equal(cubic, cv2.resize(image, (784, 518), interpolation=cv2.INTER_CUBIC))


def test_resize__stays_within_or_covers_a_size_that_is_no_multiple():
    image = np.zeros((300, 300, 3), np.uint8)
    for size, divisor, cover, found in ((105, 14, False, 98), (100, 14, True, 112), (9, 14, False, 14),
                                        (103, 14, False, 98), (111, 14, True, 112), (112, 14, True, 112)):
        assert ResizeForDepth(size, divisor, cover=cover)(dict(img=image))['img'].shape == (found, found, 3)


def test_resize__means_along_a_side_that_shrinks():
    """Whatever the other side does."""
    image = np.random.default_rng(0).integers(0, 256, (100, 60), np.uint8)
    halved = np.rint(image.reshape(50, 2, 60).mean(1)).astype(np.uint8)
    for width in (60, 90, 120):
        found = cut_and_resize(dict(img=image), (0, 0, 100, 60), (50, width))['img']
        expected = cv2.resize(halved, (width, 50), interpolation=cv2.INTER_LINEAR)
        assert np.abs(found.astype(int) - expected).max() <= 1
    both = cut_and_resize(dict(img=image), (0, 0, 100, 60), (40, 41))['img']
    assert np.array_equal(both, cv2.resize(image, (41, 40), interpolation=cv2.INTER_AREA))


def test_crop__camera_and_depth_follow():
    """The points of the scene stay, whatever part of it is seen at whatever size."""
    camera = (80., 80., 31.5, 23.5)
    np.random.seed(0)
    for _ in range(20):
        found = DepthCrop((32, 40), scale=(.5, 1.), stretch=1.3)(sample(camera=camera))
        assert found['img'].shape == (32, 40, 3) and found['gt_depth_map'].shape == (32, 40)
        assert found['img_shape'] == (32, 40)
        fx, fy, cx, cy = found['camera']
        rows, columns = np.where(found['gt_depth_map'] == 1.5)
        assert len(rows) > 20
        # The box of the whole picture, seen from the camera: between these tangents, to half a pixel.
        whole_rows, whole_columns = np.where(room()[1] == 1.5)
        x, left, right = (columns - cx) / fx, whole_columns.min() - 32., whole_columns.max() - 31.
        if found['flip']:
            left, right = -right, -left
        assert x.min() >= left / 80 - .5 / fx - 1e-6 and x.max() <= right / 80 + .5 / fx + 1e-6
        y = (rows - cy) / fy
        assert y.min() >= (whole_rows.min() - 24.) / 80 - .5 / fy - 1e-6
        assert y.max() <= (whole_rows.max() - 23.) / 80 + .5 / fy + 1e-6


def test_crop__without_a_camera():
    """A part shows a part of the view that is presumed of the whole: as it is told of a camera that sees so much."""
    for size in ((24, 32), (30, 32)):
        for transform in (DepthCrop(size, flip=0., stretch=1.2), ResizeForDepth(40, divisor=7)):
            np.random.seed(0)
            known = transform(sample(camera=camera_of_view(60, SIZE)))['camera']
            np.random.seed(0)
            presumed = transform(sample(camera=None))
            assert presumed['zoom'] * focal_length(camera_of_view(60, SIZE)) == pytest.approx(focal_length(known))
    twice = ResizeForDepth(80)(ResizeForDepth(24)(sample(camera=None)))
    assert twice['zoom'] == pytest.approx(80 / 64) and PackDepth()(twice)['data_samples'].zoom == twice['zoom']


def test_load__camera(tmp_path):
    folder = write_rooms(tmp_path / 'data', 1)
    loaded = LoadDepth()(dict(sample(camera=520), depth_map_path=str(folder / 'depth/000.png'), depth_scale=1000.))
    assert loaded['camera'].tolist() == [520., 520., 31.5, 23.5]


def test_crop__nearer():
    np.random.seed(1)
    found = DepthCrop((24, 32), scale=(.5, .5), flip=0., nearer=True)(sample())
    assert set(np.unique(found['gt_depth_map'])) <= {0., .75, 2.}


def test_test_pipeline__truth_stays_as_it_is(tmp_path):
    """The image is resized, and depth is loaded behind that at its own size."""
    folder = write_rooms(tmp_path / 'data', 2)
    dataset = DATASETS.build(dict(
        type='densevit.DepthDataset', data_root=str(folder),
        data_prefix=dict(img_path='images', depth_map_path='depth'), camera=60., test_mode=True, pipeline=[
            dict(type='densevit.LoadImage'), dict(type='densevit.ResizeForDepth', size=(24, 100), divisor=8),
            dict(type='densevit.LoadDepth', max_depth=3.), dict(type='densevit.PackDepth')]))
    found = dataset[1]
    assert found['inputs'].shape == (3, 24, 32)
    data = found['data_samples']
    assert data.ori_shape == SIZE and data.img_shape == (24, 32) and data.camera[0] == pytest.approx(30.)
    assert data.gt_depth_map.data.shape == (1, *SIZE)
    assert set(data.gt_depth_map.data.unique().tolist()) == {0., 1.5}  # 4 m are not believed


def test_load__sizes_differ(tmp_path):
    folder = write_rooms(tmp_path / 'data', 1)
    with pytest.raises(ValueError, match=r'000.png has 64x48 pixels and its image 10x9'):
        LoadDepth()(dict(depth_map_path=str(folder / 'depth/000.png'), depth_scale=1000., ori_shape=(9, 10)))


def test_pack__without_depth_and_camera():
    image, _ = room()
    found = PackDepth()(dict(img=image, img_shape=SIZE, ori_shape=SIZE))
    assert found['inputs'].shape == (3, *SIZE) and 'gt_depth_map' not in found['data_samples']
    assert 'camera' not in found['data_samples']
    for transform in (LoadDepth(3.), ResizeForDepth(40), DepthCrop(40), PackDepth()):
        assert type(transform).__name__ in repr(transform)


def test_lists(tmp_path):
    """Names alone, and those of NYUv2 and KITTI with files, focal lengths and frames without depth."""
    folder = write_rooms(tmp_path / 'data', 3)
    (folder / 'names.txt').write_text('000\n\n002\n')
    (folder / 'files.txt').write_text('/images/001.jpg /depth/001.png 518.8\nimages/000.jpg None 500\n'
                                      'images/002.jpg\tdepth/002.png\t500,510,30,20\n')

    def entries(ann_file, **prefix):
        dataset = DATASETS.build(dict(type='densevit.DepthDataset', data_root=str(folder), ann_file=ann_file,
                                      data_prefix=prefix, pipeline=[], depth_scale=256., camera=7.))
        return dataset, [dataset.get_data_info(index) for index in range(len(dataset))]

    _, infos = entries('names.txt', img_path='images', depth_map_path='depth')
    assert [info['img_path'][-14:] for info in infos] == ['images/000.jpg', 'images/002.jpg']
    assert all(info['camera'] == 7. and info['depth_scale'] == 256. for info in infos)
    dataset, infos = entries('files.txt')
    assert [info['camera'] for info in infos] == [[518.8], [500, 510, 30, 20]]
    assert [info['depth_map_path'] for info in infos] == [str(folder / f'depth/{name}.png') for name in ('001', '002')]
    assert list(dataset.remarks.values()) == [1]
    for line, said in (('a.jpg b.png wide', 'in the place of a focal length'), ('a b c d', 'has 4 entries')):
        (folder / 'wrong.txt').write_text(line)
        with pytest.raises(ValueError, match=f'line 1 of .*wrong.txt {"has" if "4" in said else ".*"}.*{said[-9:]}'):
            entries('wrong.txt')


def test_folder__ends_of_names(tmp_path):
    """What is added to a name may be more than a suffix, with a list and without."""
    folder = write_rooms(tmp_path / 'data', 2)
    for index in range(2):
        (folder / f'images/00{index}.jpg').rename(folder / f'images/a.{index}_rgb.jpg')
        (folder / f'depth/00{index}.png').rename(folder / f'depth/a.{index}_depth.png')
    (folder / 'images/a.0_right.jpg').write_bytes(b'')
    (folder / 'names.txt').write_text('a.0\na.1\n')
    listed, found = (DATASETS.build(dict(
        type='densevit.DepthDataset', data_root=str(folder), ann_file=ann_file, img_suffix='_rgb.jpg',
        depth_suffix='_depth.png', data_prefix=dict(img_path='images', depth_map_path='depth'), pipeline=[],
        serialize_data=False)).data_list for ann_file in ('names.txt', ''))
    assert [Path(each['depth_map_path']).name for each in found] == ['a.0_depth.png', 'a.1_depth.png']
    assert [{key: each[key] for key in ('img_path', 'depth_map_path')} for each in listed] == [
        {key: each[key] for key in ('img_path', 'depth_map_path')} for each in found]


def test_joined__keeps_the_seed(tmp_path):
    """Samples of joined data sets are augmented by their position in the run, as those of one are."""
    one = dict(type='densevit.DepthDataset', data_root=str(write_rooms(tmp_path / 'data', 2)),
               data_prefix=dict(img_path='images', depth_map_path='depth'), pipeline=[
                   dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'),
                   dict(type='densevit.LoadDepth'), dict(type='densevit.DepthCrop', size=(20, 30)),
                   dict(type='densevit.PackDepth')])
    joined = DATASETS.build(dict(type='densevit.JoinedDataset', datasets=[one, one]))
    assert len(joined) == 4
    alone = DATASETS.build(one)[SeededIndex(1, 5)]['inputs']
    assert (joined[SeededIndex(3, 5)]['inputs'] == alone).all() and (joined[SeededIndex(1, 5)]['inputs'] == alone).all()
    assert not (joined[SeededIndex(3, 6)]['inputs'] == alone).all()
    assert TRANSFORMS.get('densevit.DepthCrop') is DepthCrop


def test_joined__knows_the_stage_of_the_run(tmp_path):
    stages = [(0., [dict(type='densevit.DepthCrop', size=(20, 30))]), (.5, [dict(type='densevit.DepthCrop', size=8)])]
    one = dict(type='densevit.DepthDataset', data_root=str(write_rooms(tmp_path / 'data', 2)),
               data_prefix=dict(img_path='images', depth_map_path='depth'), pipeline=[
                   dict(type='densevit.LoadImage'), dict(type='densevit.LoadDepth'),
                   dict(type='densevit.InStages', stages=stages), dict(type='densevit.PackDepth')])
    joined = DATASETS.build(dict(type='densevit.JoinedDataset', datasets=[one, one]))
    for progress, size in ((0., (20, 30)), (.49, (20, 30)), (.5, (8, 8)), (None, (8, 8))):
        assert joined[SeededIndex(3, 5, progress=progress)]['inputs'].shape[1:] == size

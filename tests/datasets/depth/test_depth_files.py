"""Files of depth: what is written is read, what is no depth is said in a line."""
import numpy as np
import pytest
import torch
from pictures import png
from PIL import Image
from rooms import SAVE

from densevit.datasets.depth.camera import as_camera, camera_of_film, camera_of_view, mirrored, scaled, to_points
from densevit.datasets.depth.depth_files import DepthFileError, depth_png, read_depth

METRES = np.array([[0., 1.234, 60.], [2.5, .003, 8.]], np.float32)


@pytest.mark.parametrize('form', SAVE)
def test_what_is_written_is_read(form, tmp_path):
    SAVE[form](METRES, tmp_path / 'a')
    assert np.abs(read_depth(tmp_path / f'a.{form}') - METRES).max() < (5e-4 if form == 'png' else 1e-7)


def test_pfm__rows_and_bytes(tmp_path):
    """Rows go from the bottom up; a positive scale means big-endian."""
    (tmp_path / 'a.pfm').write_bytes(b'Pf\n3 2\n1.0\n' + METRES[::-1].astype('>f4').tobytes())
    assert np.array_equal(read_depth(tmp_path / 'a.pfm'), METRES)


def test_unknown_is_zero(tmp_path):
    values = np.array([[np.nan, np.inf, -1., 2.]], np.float32)
    np.save(tmp_path / 'a.npy', values)
    assert read_depth(tmp_path / 'a.npy').tolist() == [[0., 0., 0., 2.]]
    np.save(tmp_path / 'b.npy', np.array([[512, 0]], np.uint16))
    assert read_depth(tmp_path / 'b.npy', 256.).tolist() == [[2., 0.]]
    Image.fromarray(values).save(tmp_path / 'c.tif')
    assert read_depth(tmp_path / 'c.tif').tolist() == [[0., 0., 0., 2.]]
    assert np.asarray(depth_png(np.array([[70., 65.]]))).tolist() == [[0, 65000]]


@pytest.mark.parametrize('shape', [(1, 2, 3), (2, 3, 1), (1, 2, 1), (1, 1, 3)])
def test_an_axis_of_channels_is_none(shape, tmp_path):
    values = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / 'a.npy', values)
    found = read_depth(tmp_path / 'a.npy')
    assert found.shape == (shape[:2] if shape[2] == 1 else shape[1:]) and np.array_equal(found.ravel(), values.ravel())


def test_no_depth(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / 'grey.png')
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / 'colour.png')
    np.save(tmp_path / 'three.npy', np.zeros((4, 5, 3), np.float32))
    np.save(tmp_path / 'bytes.npy', np.zeros((4, 5), np.uint8))
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    (tmp_path / 'colour.pfm').write_bytes(b'PF\n1 1\n-1\n' + bytes(12))
    (tmp_path / 'short.pfm').write_bytes(b'Pf\n9 9\n-1\n' + bytes(12))
    for name, said in (('grey.png', '8 bits'), ('colour.png', 'in colour'), ('three.npy', 'one number a pixel'),
                       ('bytes.npy', '8 bits'), ('broken.png', 'cannot be read'), ('colour.pfm', 'in colour'),
                       ('short.pfm', 'cannot be read')):
        with pytest.raises(DepthFileError, match=said) as error:
            read_depth(tmp_path / name)
        assert name in str(error.value) and '\n' not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r'absent\.png does not exist'):
        read_depth(tmp_path / 'absent.png')


@pytest.mark.parametrize('shape', [(1, 2, 3), (2, 3, 1)])
def test_a_channel_before_or_behind(shape, tmp_path):
    np.save(tmp_path / 'a.npy', METRES.reshape(shape))
    assert np.array_equal(read_depth(tmp_path / 'a.npy'), METRES)


def test_hostile_files__a_line_each(tmp_path):
    def header(text: bytes) -> bytes:
        return b'\x93NUMPY\x01\x00v\x00' + text.ljust(117) + b'\n'

    rows = b''.join(b'\0' + bytes([10, 0] * 40) for _ in range(10))
    huge = header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 9999999), }")
    contents = {
        'empty.npy': b'', 'huge.npy': huge,
        'header.npy': header(b"{'descr': [], "), 'sides.pfm': b'Pf\n99999999999 9999999999\n-1\n123',
        'bomb.png': png(60000, 60000, b'\0' * 100, 0, 16), 'rows.png': png(40, 40, rows, 0, 16)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / 'archive', a=METRES)
    (tmp_path / 'archive.npz').rename(tmp_path / 'archive.npy')
    for name, said in {**dict.fromkeys(contents, 'cannot be read as depth'), 'rows.png': 'holds only 25.0% of them',
                       'archive.npy': 'is an archive of arrays'}.items():
        with pytest.raises(DepthFileError, match=said) as error:
            read_depth(tmp_path / name)
        assert name in str(error.value) and '\n' not in str(error.value)


def test_camera__forms():
    matrix = [[500, 0, 30], [0, 510, 20], [0, 0, 1]]
    assert as_camera(matrix, (40, 60)).tolist() == [500, 510, 30, 20]
    assert as_camera(torch.tensor(matrix).numpy(), (40, 60)).tolist() == [500, 510, 30, 20]
    assert as_camera(500, (41, 61)).tolist() == [500, 500, 30, 20]
    assert as_camera((500, 510), (41, 61)).tolist() == [500, 510, 30, 20]
    for wrong in (0, -3, 'wide', [1, 2, 3], [[1, 2], [3, 4]], [float('nan')]):
        with pytest.raises(ValueError, match='is no camera: give a focal length'):
            as_camera(wrong, (40, 60))
    assert camera_of_view(90, (100, 200))[0] == pytest.approx(100)
    assert camera_of_film(50, (2400, 3600))[0] == pytest.approx(5000)


def test_camera__follows_its_image():
    """A point is seen at the same place of what it shows, however the image is cut, resized and mirrored."""
    camera, point = np.array([100., 110., 31.5, 23.5]), np.array([.4, -.3, 2.])

    def seen(numbers):
        fx, fy, cx, cy = numbers
        return np.array([fx * point[0] / point[2] + cx, fy * point[1] / point[2] + cy])

    x, y = seen(camera)
    # In pixels whose borders are whole numbers: cut at (8, 4), then three times as wide and twice as high.
    assert seen(scaled(camera, 3, 2, 8, 4)) + .5 == pytest.approx([3 * (x + .5 - 8), 2 * (y + .5 - 4)])
    fx, _, cx, _ = mirrored(camera, 64)
    assert fx * -point[0] / point[2] + cx == pytest.approx(63 - x)


def test_points():
    depth = np.full((3, 5), 2., np.float32)
    points = to_points(depth, np.array([10., 10., 2., 1.]))
    assert points.shape == (3, 5, 3) and points.dtype == np.float32
    assert points[1, 2].tolist() == [0, 0, 2] and points[0, 4] == pytest.approx([.4, -.2, 2.])

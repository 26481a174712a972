"""Files of opacities, trimaps, and pictures composed while they are learned from."""
import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from densevit.datasets.common.coco_json import EmptyDatasetError
from densevit.datasets.common.folders import FolderError
from densevit.datasets.common.locate import MissingDataError
from densevit.datasets.common.seeding import SeededIndex
from densevit.datasets.matting.alpha_files import AlphaFileError, read_alpha, read_trimap, trimap_of
from densevit.datasets.matting.transforms import JitterForeground, JoinForegrounds, LoadForeground, MattingCrop, compose
from densevit.registry import DATASETS

SIZE = (60, 80)


def disc(size=SIZE, radius=18, soft=4.):
    """An opacity that falls from 1 to 0 around a circle."""
    y, x = np.mgrid[:size[0], :size[1]]
    return np.clip((radius - np.hypot(y - size[0] / 2, x - size[1] / 2)) / soft + .5, 0, 1)


def write(folder, name, values, mode=None):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values, mode).save(folder / name)
    return folder / name


def write_data(root, count=3):
    rng = np.random.default_rng(0)
    for index in range(count):
        write(root / 'fg', f'{index}.png', rng.integers(200, 256, (*SIZE, 3), np.uint8))
        write(root / 'alpha', f'{index}.png', np.rint(disc(radius=10 + 4 * index) * 255).astype(np.uint8))
        write(root / 'bg', f'{index}.jpg', np.full((50 + 20 * index, 90, 3), 20 * index, np.uint8))
    return root


def test_alpha_files(tmp_path):
    alpha = np.rint(disc() * 255).astype(np.uint8)
    expected = alpha / np.float32(255)
    rgb = np.repeat(alpha[..., None], 3, 2)
    for values in (alpha, rgb, np.dstack([255 - rgb, alpha])):
        np.testing.assert_array_equal(read_alpha(write(tmp_path, 'a.png', values)), expected)
    np.testing.assert_allclose(read_alpha(write(tmp_path, 'b.png', alpha.astype(np.uint16) * 257)), expected, atol=1e-6)
    with pytest.raises(AlphaFileError, match='c.png has colours'):
        read_alpha(write(tmp_path, 'c.png', rgb * np.uint8([1, 1, 0])))
    with pytest.raises(FileNotFoundError, match='correct data_prefix'):
        read_alpha(tmp_path / 'none.png')
    (tmp_path / 'd.png').write_text('no picture')
    with pytest.raises(AlphaFileError, match='cannot be read'):
        read_alpha(tmp_path / 'd.png')
    levels = np.uint8([[0, 84, 85, 128, 169, 170, 255]])
    assert read_trimap(write(tmp_path, 't.png', levels)).tolist() == [[0, 0, .5, .5, .5, 1, 1]]


@pytest.mark.parametrize('outside,inside', [(1, 1), (5, 2), (0, 3)])
def test_trimap_of_a_mask(outside, inside):
    """Dilation and erosion by discs of these radii; the border of the picture is no edge of an object."""
    mask = disc() > .5
    mask[:20, :20] = True
    y, x = np.mgrid[-9:10, -9:10]
    trimap = trimap_of(mask, outside, inside)
    eroded = binary_erosion(mask, np.hypot(x, y) <= inside, border_value=1)
    dilated = binary_dilation(mask, np.hypot(x, y) <= outside)
    np.testing.assert_array_equal(trimap == 1, eroded)
    np.testing.assert_array_equal(trimap == 0, ~dilated)
    assert set(np.unique(trimap)) == {0, .5, 1}


def test_trimap_of_an_opacity():
    alpha = disc(soft=8.)
    trimap = trimap_of(alpha, 0)
    np.testing.assert_array_equal(trimap == .5, np.abs(alpha - .5) < .5 - .5 / 255)
    assert (trimap_of(np.zeros(SIZE), 3) == 0).all() and (trimap_of(np.ones(SIZE), 3) == 1).all()
    with pytest.raises(ValueError, match='0 or more'):
        trimap_of(alpha, -1)


def test_trimap_of_a_resized_opacity():
    """Resizing makes .9999999 of ones, and the inside of an object is known all the same."""
    alpha = np.pad(np.ones((400, 400), np.float32), 84)
    alpha = cv2.resize(alpha, (512, 512), interpolation=cv2.INTER_AREA)
    assert ((alpha < 1) & (alpha > .999)).any()
    trimap = trimap_of(alpha, 10)
    assert (trimap[90:422, 90:422] == 1).all() and (trimap[:62] == 0).all()
    whole = foreground(9, np.full(SIZE, np.float32(.9999999)))
    assert Offered(foreground(200, disc()))(whole)['img'] is whole['img'], 'nothing of a second one would be seen'


def dataset(root, size=48):
    return DATASETS.build(dict(
        type='densevit.MattingDataset', data_root=str(root), data_prefix=dict(img_path='fg'), pipeline=[
            dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadForeground'),
            dict(type='densevit.LoadAlpha'), dict(type='densevit.MattingCrop', size=size),
            dict(type='densevit.ComposeForeground', backgrounds=str(root / 'bg')),
            dict(type='densevit.RandomTrimap', width=(1, 6)), dict(type='densevit.PackMatting')]))


def test_composed_pictures(tmp_path):
    """They follow from the seed alone, and are what their opacity says of a bright and a dark picture."""
    data = dataset(write_data(tmp_path))
    assert len(data) == 3
    first, again, other = (data[SeededIndex(2, seed)] for seed in (7, 7, 8))
    assert (first['inputs'] == again['inputs']).all() and (first['inputs'] != other['inputs']).any()
    assert (first['data_samples'].trimap.data == again['data_samples'].trimap.data).all()
    seen = set()
    for seed in range(12):
        found = data[SeededIndex(seed % 3, seed)]
        sample, image = found['data_samples'], found['inputs'].numpy().astype(float)
        alpha, trimap = sample.gt_alpha.data[0].numpy(), sample.trimap.data[0].numpy()
        assert image.shape == (3, 48, 48) and alpha.shape == trimap.shape == (48, 48)
        soft = np.abs(alpha - .5) < .5 - .5 / 255
        assert (trimap[soft] == .5).all() and soft.any()
        dark = 20 * int(sample.background[-5])
        assert (np.abs(image - dark)[:, alpha == 0] <= 2).all() and (image[:, alpha == 1] >= 195).all()
        seen.add(sample.background)
    assert len(seen) == 3


def test_foregrounds_with_transparency_are_their_own_opacity(tmp_path):
    """Colours of transparent pixels are kept: they are not laid on white."""
    alpha = np.rint(disc() * 255).astype(np.uint8)
    write(tmp_path / 'fg', 'a.png', np.dstack([np.full((*SIZE, 3), 30, np.uint8), alpha]))
    write(tmp_path / 'fg', 'left_out.png', np.zeros((*SIZE, 3), np.uint8))
    write(tmp_path / 'other', 'a.png', alpha)
    data = DATASETS.build(dict(
        type='densevit.MattingDataset', data_root=str(tmp_path), data_prefix=dict(img_path='fg', alpha_path='other'),
        pipeline=[dict(type='densevit.LoadForeground'), dict(type='densevit.LoadAlpha', trimap_width=2),
                  dict(type='densevit.PackMatting')]))
    assert len(data) == 1 and list(data.remarks.values()) == [1]
    found = data[0]
    assert (found['inputs'] == 30).all() and set(found['data_samples'].trimap.data.unique().tolist()) == {0, .5, 1}


def test_opacities_are_turned_as_images_are(tmp_path):
    """By their EXIF data, for foregrounds with transparency, too."""
    alpha = np.rint(disc() * 255).astype(np.uint8)
    alpha[:20] = 0
    exif = Image.Exif()
    exif[0x0112] = 3  # by half a turn
    Image.fromarray(alpha).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(read_alpha(tmp_path / 'a.png'), alpha[::-1, ::-1] / np.float32(255))
    colors = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(np.dstack([colors, alpha])).save(tmp_path / 'b.png', exif=exif)
    found = LoadForeground()(dict(img_path=tmp_path / 'b.png'))
    np.testing.assert_array_equal(found['img'], colors[::-1, ::-1, ::-1])


def test_folders_that_say_nothing_or_two_things(tmp_path):
    """A data set that is built without the checks of a run says the same as these."""
    def build(**prefix):
        return DATASETS.build(dict(
            type='densevit.MattingDataset', data_root=str(root), data_prefix=prefix, pipeline=[]))
    root = write_data(tmp_path / 'data', 2)
    with pytest.raises(MissingDataError, match=r'data/nowhere is missing: .* correct data_prefix\.alpha_path'):
        build(img_path='fg', alpha_path='nowhere')
    (root / 'empty').mkdir()
    with pytest.raises(EmptyDatasetError, match='empty has no image with an opacity of its name in .*alpha: correct'):
        build(img_path='empty')
    (root / 'alpha' / '._0.png').write_bytes(b'of another system')
    (root / 'fg' / '._0.png').write_bytes(b'of another system')
    assert len(build(img_path='fg')) == 2
    write(root / 'fg', '0.jpg', np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(FolderError, match=r'0\.jpg and .*0\.png have one name, .* rename one'):
        build(img_path='fg')


def test_malformed_data(tmp_path):
    root = write_data(tmp_path, 1)
    write(root / 'alpha', '0.png', np.zeros((10, 12), np.uint8))
    with pytest.raises(ValueError, match='0.png has 12x10 pixels and its image 80x60'):
        dataset(root)[SeededIndex(0, 0)]
    write(root / 'trimaps', 'other.png', np.zeros(SIZE, np.uint8))
    with pytest.raises(FileNotFoundError, match='has no trimap for'):
        DATASETS.build(dict(type='densevit.MattingDataset', data_root=str(root), data_prefix=dict(
            img_path='fg', trimap_path='trimaps'), pipeline=[]))
    with pytest.raises(FileNotFoundError, match='has no pictures'):
        root = write_data(tmp_path / 'again', 1)
        (root / 'bg' / '0.jpg').unlink()
        dataset(root)[SeededIndex(0, 0)]


def test_crop__small_images_are_enlarged():
    np.random.seed(0)
    found = MattingCrop(100)(dict(img=np.zeros((*SIZE, 3), np.uint8), gt_alpha=disc().astype(np.float32)))
    assert found['img'].shape == (100, 100, 3) and found['gt_alpha'].shape == (100, 100) == found['img_shape']


def test_compose():
    foreground, background = (np.full((1, 1, 3), value, np.uint8) for value in (200, 100))
    assert compose(foreground, background, np.array([[.25]])).tolist() == [[[125] * 3]]


def foreground(values, alpha):
    return dict(img=np.full((*SIZE, 3), values, np.uint8), gt_alpha=alpha.astype(np.float32),
                trimap=trimap_of(alpha, 1))


class Offered(JoinForegrounds):
    """Joins with what it is given."""

    def __init__(self, other):
        super().__init__(probability=1.)
        self.other = other

    def others(self, count):
        return [self.other] * count


def test_joined_foregrounds__look_as_one_over_the_other():
    first, second = foreground((250, 10, 40), .7 * disc(soft=20)), foreground((0, 200, 90), disc(radius=25, soft=9))
    found = Offered(second)(dict(first))
    a, b = first['gt_alpha'], second['gt_alpha']
    np.testing.assert_allclose(found['gt_alpha'], 1 - (1 - a) * (1 - b), atol=1e-6)
    background = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    expected = compose(first['img'], compose(second['img'], background, b), a)
    difference = compose(found['img'], background, found['gt_alpha']).astype(int) - expected
    assert np.abs(difference).max() <= 2 and np.abs(expected - compose(first['img'], background, a)).max() > 50
    assert ((found['trimap'] == 1) == ((first['trimap'] == 1) | (second['trimap'] == 1))).all()
    assert ((found['trimap'] == 0) == ((first['trimap'] == 0) & (second['trimap'] == 0))).all()


def test_joined_foregrounds__not_of_what_hides_all():
    first = foreground(9, disc())
    assert Offered(foreground(200, np.ones(SIZE)))(first)['img'] is first['img']
    with pytest.raises(ValueError, match='put it behind MattingCrop'):
        Offered(dict(img=np.zeros((4, 4, 3), np.uint8)))(first)


def test_joined_foregrounds__of_a_data_set(tmp_path):
    """They follow from the seed; about half of the samples have two."""
    root = write_data(tmp_path)
    joining, alone = (DATASETS.build(dict(
        type='densevit.MattingDataset', data_root=str(root), data_prefix=dict(img_path='fg'), pipeline=[
            dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'), dict(type='densevit.LoadAlpha'),
            dict(type='densevit.MattingCrop', size=48), dict(type='densevit.JoinForegrounds', probability=probability),
            dict(type='densevit.JitterForeground'),
            dict(type='densevit.ComposeForeground', backgrounds=str(root / 'bg')),
            dict(type='densevit.RandomTrimap'), dict(type='densevit.PackMatting')])) for probability in (.5, 0))
    first, again = (joining[SeededIndex(0, 3)] for _ in range(2))
    assert (first['inputs'] == again['inputs']).all()
    joined = [(one != other).any().item() for one, other in (
        (data[SeededIndex(0, seed)]['data_samples'].gt_alpha.data for data in (joining, alone)) for seed in range(20))]
    assert 4 < sum(joined) < 16


def test_jitter__of_the_foreground_alone():
    """Hue turns, saturation and value move by one shift each, within a tenth of 1.1 less their mean."""
    np.random.seed(0)
    before = foreground((40, 90, 160), disc())
    with_hue, without = (JitterForeground(hue=hue, spread=spread)(dict(before))['img'] for hue, spread in (
        (40, 0), (0, .1)))
    old, turned, moved = (cv2.cvtColor(np.float32(image[:1, :1]) / 255, cv2.COLOR_BGR2HSV)[0, 0] for image in (
        before['img'], with_hue, without))
    np.testing.assert_allclose(turned[1:], old[1:], atol=.01)
    assert 1 < abs(turned[0] - old[0]) <= 41 and abs(moved[0] - old[0]) < 2
    assert (np.abs(moved - old)[1:] <= .1 * (1.1 - old[1:]) + .01).all() and np.abs(moved - old)[1:].max() > .005
    empty = foreground(7, np.zeros(SIZE))
    assert JitterForeground()(empty) is empty

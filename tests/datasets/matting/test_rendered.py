"""Foregrounds that are drawn: exact opacities, in the colours of a photograph."""
import cv2
import numpy as np
import pytest
from PIL import Image

from densevit.datasets.matting.rendered import Photographs, RenderForeground, _hair, _object_of
from densevit.registry import DATASETS

OBJECT = (slice(30, 70), slice(40, 90))  # of the label map below


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(8):
        image, labels = np.full((96, 128, 3), 40, np.uint8), np.zeros((96, 128), np.uint8)
        image[OBJECT], labels[OBJECT] = rng.integers(180, 256, (40, 50, 3)), 8
        for folder, name, values in (('images', f'{index}.png', image), ('labels', f'{index}.png', labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / name)
    return tmp_path


def dataset(root, pipeline, **options):
    return DATASETS.build(dict(type='densevit.Photographs', data_root=str(root), pipeline=pipeline,
                               data_prefix=dict(img_path='images', seg_map_path='labels'), **options))


def pipeline(**options):
    return [dict(type='densevit.SeedAugmentation', fixed=0), dict(type='densevit.LoadImage'),
            dict(type='densevit.RenderForeground', objects=(8, ), **options)]


def test_rendered_foreground__is_the_labelled_object_and_the_same_each_time(photographs):
    data = dataset(photographs, pipeline(hair=0, object=1))
    for index in range(len(data)):
        sample = data[index]
        alpha = sample['gt_alpha']
        assert alpha.dtype == np.float32 and alpha.shape == sample['img'].shape[:2]
        assert 0 <= alpha.min() < alpha.max() <= 1
        np.testing.assert_array_equal(np.rint(alpha * 255) / np.float32(255), alpha)  # what a file holds
        # Nothing of the photograph's own background is in the foreground, inside the object or beside it.
        assert sample['img'].min() >= 180
        middle = alpha[45:55, 60:70].mean()
        assert middle > .25 and middle > alpha[:10].mean() + .2
        again = data[index]
        np.testing.assert_array_equal(again['gt_alpha'], alpha)
        np.testing.assert_array_equal(again['img'], sample['img'])
    assert len({data[index]['gt_alpha'].tobytes() for index in range(len(data))}) > 2


def test_rendered_foreground__a_blob_where_nothing_is_labelled(photographs):
    data = dataset(photographs, pipeline(hair=1, object=0), indices=2)
    for sample in (data[0], data[1]):
        assert .02 < sample['gt_alpha'].mean() < .98
        assert sample['alpha_path'] == sample['img_path']


def test_object_of__the_largest_part_without_its_edge():
    labels = np.zeros((60, 80), np.uint8)
    labels[10:40, 10:40], labels[50:56, 60:66], labels[:, 79] = 8, 8, 255
    mask = _object_of(labels, (8, ))
    assert mask[20:30, 20:30].all() and not mask[50:56, 60:66].any()
    assert not (mask & (cv2.erode((labels == 8).astype(np.uint8), np.ones((5, 5))) == 0)).any()
    assert _object_of(labels, (9, )) is None


@pytest.mark.parametrize('turned', [False, True])
def test_hair_grows_outwards(turned):
    mask = np.zeros((120, 160), bool)
    mask[40:80, 50:110] = True
    mask = mask.T if turned else mask
    colors = np.full((*mask.shape, 3), 90, np.uint8)
    colors[mask] = 200
    outside = inside = 0
    np.random.seed(0)
    for _ in range(12):
        strands, painted = _hair(mask, colors)
        assert strands.max() <= 1
        outside, inside = outside + strands[~mask].sum(), inside + strands[mask].sum()
        # What is drawn has the colours of the roots, darker or lighter, and not those of what lies behind.
        assert (painted[(strands > .3) & ~mask] != 90).mean() > .9
    assert outside > 2 * inside


def test_photographs__lists_and_missing_files(photographs):
    assert len(Photographs(str(photographs / 'images'))) == 8
    (photographs / 'list.txt').write_text('2\n0\n')
    data = dataset(photographs, [], ann_file='list.txt')
    assert [data.get_data_info(index)['img_path'][-5:] for index in range(2)] == ['2.png', '0.png']
    (photographs / 'list.txt').write_text('2\n9\n')
    with pytest.raises(FileNotFoundError, match='names 9'):
        dataset(photographs, [], ann_file='list.txt')
    with pytest.raises(FileNotFoundError, match='nowhere has no picture: correct data_prefix'):
        Photographs(str(photographs / 'nowhere'))
    (photographs / 'images' / '._1.png').write_bytes(b'of another system')
    assert len(Photographs(str(photographs / 'images'))) == 8
    (photographs / 'labels' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match='leave out seg_map_path'):
        dataset(photographs, [])


def test_repr_tells_the_options():
    assert repr(RenderForeground((8, ), hair=.5)) == (
        'RenderForeground(objects=(8,), hair=0.5, object=0.7, veil=0.1)')

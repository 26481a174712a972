from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from densevit.images import read_image
from densevit.inference import files
from densevit.inference.files import Artifact, OutputError, check_output_folder, is_own_file, save_artifacts
from densevit.visualization import draw_comparison, draw_overlay


def test_save__overlay_beside_the_picture(semantic_result, tmp_path):
    assert semantic_result.save(tmp_path / 'a.png') == [tmp_path / 'a.png']
    np.testing.assert_array_equal(
        read_image(tmp_path / 'a.png'), draw_comparison(semantic_result.image, semantic_result))
    semantic_result.save(tmp_path / 'a.png', opacity=0.8, legend=False, side_by_side=False)
    np.testing.assert_array_equal(
        read_image(tmp_path / 'a.png'), draw_overlay(semantic_result.image, semantic_result, 0.8, legend=False))


def test_save__file_name_and_format(semantic_result, tmp_path):
    for name, written in (('a.JPG', 'a.JPG'), ('a.webp', 'a.webp'), ('a.tiff', 'a.tiff'), ('a.gif', 'a.gif.png'),
                          ('a', 'a.png'), ('a.b', 'a.b.png')):
        folder = tmp_path / name
        assert semantic_result.save(folder / name) == [folder / written]
        assert is_own_file(folder / written) and read_image(folder / written).shape[2] == 3
        semantic_result.save(folder / name)  # an earlier result is replaced
        assert [path.name for path in folder.iterdir()] == [written]


def test_save__refuses_what_the_task_does_not_know(semantic_result, tmp_path):
    with pytest.raises(TypeError, match="no option 'mask': choose of opacity, legend, side_by_side, masks, json"):
        semantic_result.save(tmp_path / 'a.png', mask=True)
    assert list(tmp_path.iterdir()) == []


def test_save__an_option_that_makes_no_sense_is_no_fault_of_the_disk(semantic_result, tmp_path):
    with pytest.raises(ValueError, match='opacity'):
        semantic_result.save(tmp_path / 'a.png', opacity=7)


def test_artifacts__of_any_kind_carry_the_mark_and_are_whole(tmp_path):
    """What later tasks need: 16 bits, floating-point numbers, transparency, JSON of their own."""
    depth = np.linspace(0, 80, 12, dtype=np.float32).reshape(3, 4)
    rgba = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    artifacts = [Artifact('', lambda: rgba[..., :3]), Artifact('.depth.tiff', lambda: depth),
                 Artifact('.mm.png', lambda: (depth * 100).astype(np.uint16)), Artifact('.cut.png', lambda: rgba),
                 Artifact('.coco.json', lambda: dict(annotations=[])), Artifact('.parts/a.png', lambda: rgba)]
    written = save_artifacts(artifacts, tmp_path / 'a.png')
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        'a.png', 'a.png.depth.tiff', 'a.png.mm.png', 'a.png.cut.png', 'a.png.coco.json', 'a.png.parts/a.png']
    assert all(map(is_own_file, written))
    for path, expected in zip(written[:4], (rgba[..., :3], depth, (depth * 100).astype(np.uint16), rgba), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected)
    assert json.loads(written[4].read_text())['annotations'] == []
    written[2].write_bytes(b'mine')
    with pytest.raises(OutputError, match='not an earlier result'):
        save_artifacts([Artifact('', lambda: 1 / 0), *artifacts[1:]], tmp_path / 'a.png')  # nothing is made


def test_save__into_a_folder_takes_the_sources_name(semantic_result, tmp_path):
    result = replace(semantic_result, source=tmp_path / 'elsewhere' / 'street.jpg')
    (tmp_path / 'out').mkdir()
    assert result.save(tmp_path / 'out') == [tmp_path / 'out' / 'street.jpg']
    assert semantic_result.save(tmp_path / 'out') == [tmp_path / 'out' / 'image.png']


def test_save__json(semantic_result, tmp_path):
    picture, text = semantic_result.save(tmp_path / 'new' / 'a.jpg', json=True)
    assert text == tmp_path / 'new' / 'a.jpg.json' and is_own_file(text)
    assert json.loads(text.read_text()) == semantic_result.to_dict()


def test_save__masks(semantic_result, tmp_path):
    _, labels, *masks = semantic_result.save(tmp_path / 'a.png', masks=True)
    values = np.asarray(Image.open(labels))
    np.testing.assert_array_equal(values, np.where(semantic_result.semantic < 0, 255, semantic_result.semantic))
    assert Image.open(labels).getpalette()[:9] == [*sum(semantic_result.palette, ())]
    assert [mask.name for mask in masks] == ['000_red.png', '001_green.png', '002_blue.png']
    for path, mask in zip(masks, semantic_result.masks, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), mask * 255)


def test_save__masks_of_an_earlier_run_go_but_other_files_stay(semantic_result, instance_result, tmp_path):
    semantic_result.save(tmp_path / 'a.png', masks=True)
    Image.new('L', (2, 2)).save(tmp_path / 'a.png.masks' / '007_mine.png')
    instance_result.save(tmp_path / 'a.png', masks=True)
    assert sorted(path.name for path in (tmp_path / 'a.png.masks').iterdir()) == [
        '000_blue.png', '001_blue.png', '002_red.png', '007_mine.png']


def test_save__class_name_that_is_no_file_name(semantic_result, tmp_path):
    result = replace(semantic_result, classes=('a/b: c', '../..', 'x' * 300))
    names = [path.name for path in result.save(tmp_path / 'a.png', masks=True)[2:]]
    assert names == ['000_a_b_c.png', '001_.._...png', f'002_{"x" * 60}.png']


def test_save__many_classes_need_sixteen_bits(semantic_result, tmp_path):
    result = replace(semantic_result, classes=tuple(map(str, range(300))))
    labels = np.asarray(Image.open(result.save(tmp_path / 'a.png', masks=True)[1]))
    assert labels.dtype == np.uint16 and labels[0, 0] == 65535 and labels[20, 59] == 2


def test_save__never_over_the_source(semantic_result, tmp_path):
    path = tmp_path / 'a.png'
    semantic_result.save(path)  # even if it looks like a result of ours
    before = path.read_bytes()
    for target in (path, tmp_path):
        with pytest.raises(OutputError, match='is the picture itself'):
            replace(semantic_result, source=path).save(target, overwrite=True)
    os.link(path, tmp_path / 'link.png')
    with pytest.raises(OutputError, match='is the picture itself'):
        replace(semantic_result, source=path).save(tmp_path / 'link.png', overwrite=True)
    assert path.read_bytes() == before


def test_save__foreign_file_only_on_request(semantic_result, tmp_path):
    for name in ('a.png', 'a.png.json', 'a.png.masks/labels.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"mine": 1}')
        before = {each: each.read_bytes() for each in tmp_path.rglob('*') if each.is_file()}
        with pytest.raises(OutputError, match='not an earlier result'):
            semantic_result.save(tmp_path / 'a.png', json=True, masks=True, opacity=.9)
        assert before == {each: each.read_bytes() for each in tmp_path.rglob('*') if each.is_file()}
        semantic_result.save(tmp_path / 'a.png', json=True, masks=True, overwrite=True)
        assert is_own_file(path)


def test_save__into_a_folder_never_over_the_result_of_another_picture(semantic_result, tmp_path):
    """What it is of, a picture knows by its path and its content, of which each alone may change."""
    for name in ('x', 'y', 'out'):
        (tmp_path / name).mkdir()
    sources = [tmp_path / folder / 'a.png' for folder in 'xy']
    for source, color in zip(sources, ('red', 'blue'), strict=True):
        Image.new('RGB', (60, 40), color).save(source)
    first, second = (replace(semantic_result, source=source) for source in sources)
    for suffix in ('png', 'jpg', 'webp', 'tif'):
        first.save(tmp_path / f'out/a.{suffix}')
        with pytest.raises(OutputError, match='result of another picture'):
            files.refuse_foreign_files(tmp_path / f'out/a.{suffix}', [''], sources[1])
    before = (tmp_path / 'out/a.png').read_bytes()
    for other in (second, replace(semantic_result, source=tmp_path / 'gone/a.png')):
        with pytest.raises(OutputError, match='result of another picture'):
            other.save(tmp_path / 'out')
    assert (tmp_path / 'out/a.png').read_bytes() == before
    first.save(tmp_path / 'out', opacity=.9)
    Image.new('RGB', (60, 40), 'green').save(sources[0])
    first.save(tmp_path / 'out')  # the picture was changed
    (tmp_path / 'x').rename(tmp_path / 'z')
    replace(semantic_result, source=tmp_path / 'z/a.png').save(tmp_path / 'out')  # and moved
    second.save(tmp_path / 'out', overwrite=True)
    replace(semantic_result, source=tmp_path / 'z/a.png').save(tmp_path / 'out/a.png')  # a name of the user's own
    assert str(tmp_path).encode() not in (tmp_path / 'out/a.png').read_bytes()


def test_save__failure_leaves_the_old_file_and_no_temporary(semantic_result, tmp_path, monkeypatch):
    semantic_result.save(tmp_path / 'a.png')
    before = (tmp_path / 'a.png').read_bytes()

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(OutputError, match='No space left'):
        semantic_result.save(tmp_path / 'a.png', opacity=0.9)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
    assert (tmp_path / 'a.png').read_bytes() == before


def test_save__obeys_the_umask(semantic_result, tmp_path):
    previous = os.umask(0o027)
    try:
        (path,) = semantic_result.save(tmp_path / 'a.png')
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o640


def test_check_output_folder(tmp_path):
    check_output_folder(tmp_path / 'new' / 'folder')
    assert list((tmp_path / 'new' / 'folder').iterdir()) == []
    (tmp_path / 'file').write_text('')
    for folder in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(OutputError, match='choose another folder'):
            check_output_folder(folder)
    with pytest.raises(OutputError, match='MB free'):
        check_output_folder(tmp_path, needed_bytes=10**18)

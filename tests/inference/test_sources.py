from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from densevit.inference import sources
from densevit.inference.files import OutputError
from densevit.inference.sources import SourceError, find_images, plan_outputs, sample_image


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ('b.png', 'a.JPG', 'x/a.JPG', 'x/y/deep.png', 'notes.txt', '.hidden.png', 'paper.pdf', 'odd[1].png'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return tmp_path


def names(paths, root) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_folder__pictures_in_it(tree):
    assert names(find_images([tree]), tree) == ['a.JPG', 'b.png', 'odd[1].png']


def test_glob(tree):
    assert names(find_images([f'{tree}/*.png']), tree) == ['b.png', 'odd[1].png']
    assert names(find_images([f'{tree}/**/*']), tree) == ['a.JPG', 'b.png', 'odd[1].png', 'x/a.JPG', 'x/y/deep.png']


def test_existing_file_with_brackets_is_meant_literally(tree):
    assert names(find_images([f'{tree}/odd[1].png']), tree) == ['odd[1].png']


def test_url_and_path_of_one_file_count_once(tree):
    paths = find_images([(tree / 'b.png').as_uri(), str(tree / 'x' / '..' / 'b.png'), tree])
    assert names(paths, tree) == ['b.png', 'a.JPG', 'odd[1].png']


def test_missing_file_is_left_to_the_reader(tree):
    assert find_images([tree / 'none.png']) == [tree / 'none.png']


def test_nothing_found__refused_with_a_remedy(tree):
    (tree / 'empty').mkdir()
    for source, remedy in ((f'{tree}/*.bmp', 'check the pattern'), (f'{tree}/empty', 'name files'),
                           ('https://example.com/a.png', 'download')):
        with pytest.raises(SourceError, match=remedy):
            find_images([source])


def test_sample_image():
    with Image.open(sample_image()) as image:
        assert image.size == (451, 300)


def test_sample_image__missing(monkeypatch):
    monkeypatch.setattr(sources.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SourceError, match='pip install scikit-image'):
        sample_image()


def test_plan_outputs__same_name(tmp_path):
    images = [tmp_path / 'in' / name for name in ('a.png', 'b.gif', 'README')]
    assert names(plan_outputs(images, tmp_path / 'out').values(), tmp_path) == [
        'out/a.png', 'out/b.gif.png', 'out/README.png']


def test_plan_outputs__equal_names_get_subfolders(tmp_path):
    images = [tmp_path / name for name in ('in/x/1.png', 'in/2.png', 'in/y/z/1.png', 'in/1.PNG')]
    assert names(plan_outputs(images, tmp_path / 'out').values(), tmp_path) == [
        'out/x/1.png', 'out/2.png', 'out/y/z/1.png', 'out/1.PNG']


def test_plan_outputs__names_that_meet_only_as_results(tmp_path):
    images = [tmp_path / name for name in ('a.gif', 'a.gif.png')]
    assert names(plan_outputs(images, tmp_path / 'out').values(), tmp_path) == ['out/a.gif.png', 'out/a.gif_2.png']


def test_plan_outputs__never_onto_an_input(tmp_path):
    with pytest.raises(OutputError, match='would replace a picture'):
        plan_outputs([tmp_path / 'a.png'], tmp_path)
    with pytest.raises(OutputError, match='would replace a picture'):
        plan_outputs([tmp_path / 'x' / 'a.gif', tmp_path / 'a.gif.png'], tmp_path)


def test_plan_outputs__names_that_meet_files_of_other_results(tmp_path):
    suffixes = ['.json', '.restored.png', '.masks/', '.masks/labels.png']
    for order in (['p.png', 'p.png.restored.png'], ['p.png.restored.png', 'p.png']):
        outputs = plan_outputs([tmp_path / 'in' / name for name in order], tmp_path / 'out', suffixes)
        files = [f'{output}{suffix}' for output in outputs.values() for suffix in ('', *suffixes)]
        assert len(set(files)) == len(files) and outputs[tmp_path / 'in' / order[0]].name == order[0]
    images = [tmp_path / name for name in ('p.png', 'p.png.masks/p.png')]  # whose stale files are removed
    outputs = plan_outputs(images, tmp_path / 'out', suffixes)
    assert outputs[images[0]].with_suffix('.png.masks') not in outputs[images[1]].parents
    with pytest.raises(OutputError, match='p.png.restored.png: .* would replace a picture'):
        plan_outputs([tmp_path / 'x/p.png', tmp_path / 'p.png.restored.png'], tmp_path, suffixes)

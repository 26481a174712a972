"""Names that a shell, a terminal, a file system or JSON trips over; each costs nothing but itself."""
from __future__ import annotations

import json
import os
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from pictures import encoded, photo

from densevit import inference
from densevit.errors import one_line, printable
from densevit.inference import Predictor, cli, files
from densevit.inference.sources import plan_outputs

CLASSES = ('dark', '\x1b[31mbri/ght\x07\nline')
NAMES = [
    b'plain.png', b'caf\xe9.png', b'two\nlines.png', b'\x1b[2J\x1b]0;t\x07.png', 'a\u202egnp.png'.encode(),
    '\x9b31m.png'.encode(), b'x' * 250 + b'.png', ('画' * 83 + '.png').encode(), b'y' * 251 + b'.gif',
    b'[bold]a[/bold].png', b'"\'$(x) `.png', b'%s%n{0}.png', '📷.png'.encode(), b'a...png', b' .png', b'a\\.png',
]


class Halves(BaseModel):
    """Two classes, the right half the second."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for sample in data_samples:
            labels = torch.zeros(1, *sample.ori_shape, dtype=torch.long)
            labels[..., sample.ori_shape[1] // 2:] = 1
            sample.pred_sem_seg = PixelData(data=labels)
        return data_samples


@pytest.fixture
def infer(monkeypatch, tmp_path, capfd):
    """Runs the command in an empty folder; gives exit code, stdout and stderr as bytes."""
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='PackSegInputs')]))
    monkeypatch.setattr(inference, 'load', lambda *_, **__: Predictor(Halves(), cfg, classes=CLASSES), raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main([os.fsdecode(argument) for argument in arguments])
        return code, *(text.encode('utf-8', 'surrogateescape') for text in capfd.readouterr())
    return run


def write_odd(folder: Path) -> list[bytes]:
    """Those of the names that the file system takes."""
    folder.mkdir()
    written = []
    for name in NAMES:
        content = encoded(photo(), 'GIF' if name.endswith(b'.gif') else 'PNG')
        try:
            with open(os.path.join(os.fsencode(folder), name), 'wb') as file:
                file.write(content)
        except OSError:
            continue
        written.append(name)
    return written


def check_terminal(text: bytes) -> None:
    decoded = text.decode('utf-8')  # valid
    assert printable(decoded.replace('\n', '')) == decoded.replace('\n', '')


def test_folder_of_odd_names(infer, tmp_path):
    names = write_odd(tmp_path / 'in')
    assert len(names) >= 10
    code, out, err = infer('in', '--json', '--masks')
    check_terminal(out), check_terminal(err)
    assert code == 0 and f'{len(names)} of {len(names)} pictures predicted'.encode() in out
    results = [json.loads(path.read_bytes().decode('utf-8')) for path in Path('outputs').glob('*.json')]
    assert {os.fsencode(Path(result['source']).name) for result in results} == set(names)
    assert len(list(Path('outputs').glob('*.masks'))) == len(names)
    shortened = [name for name in names if len(name) > 245]
    assert err.count(b'the name is too long for results') == len(shortened) > 0
    assert infer('in', '--json', '--masks')[0] == 0  # its own files are replaced
    assert len(list(Path('outputs').glob('*.json'))) == len(names)


def test_odd_names_that_fail_are_lines(infer, tmp_path):
    (tmp_path / 'in').mkdir()
    for name in (b'caf\xe9.png', b'\x1b[2J.png', b'two\nlines.png'):
        with open(b'in/' + name, 'wb') as file:
            file.write(b'no picture')
    code, out, err = infer('in', '--debug')
    check_terminal(out), check_terminal(err)
    code, out, err = infer('in')
    check_terminal(out), check_terminal(err)
    assert code == 2 and err.count(b'\n') == err.count(b'failed: ') == 3
    assert b'caf\\xe9.png' in err and b'\\x1b[2J.png' in err and b'two\\nlines.png' in err


def test_class_names(infer, tmp_path):
    (tmp_path / 'a.png').write_bytes(encoded(photo(), 'PNG'))
    code, out, err = infer('a.png', '--json', '--masks')
    check_terminal(out), check_terminal(err)
    assert code == 0 and b'\\x1b' in out
    assert json.loads(Path('outputs/a.png.json').read_text())['areas'][0]['name'] in CLASSES
    assert len(list(Path('outputs/a.png.masks').iterdir())) == 3


def test_odd_arguments(infer, capfd):
    for argument in (b'--\x1b[2J.png', b'\x1b[2J*.bmp', b'\x1b[2J.png', b'x' * 5000, b'~nobody.png'):
        try:
            code, out, err = infer(argument)
        except SystemExit as stop:
            code, out, err = stop.code, b'', capfd.readouterr()[1].encode()
        assert code == 2 and b'\x1b' not in out + err and b'Traceback' not in err, argument[:20]


def test_terminal_of_another_encoding(infer, tmp_path, monkeypatch):
    (tmp_path / '写真.png').write_bytes(encoded(photo(), 'PNG'))
    content = BytesIO()
    monkeypatch.setattr(sys, 'stdout', TextIOWrapper(content, encoding='ascii', write_through=True))
    assert infer('写真.png')[0] == 0
    assert b'\\u5199\\u771f.png' in content.getvalue()


def test_long_names__stay_apart(tmp_path):
    images = [tmp_path / f'{"x" * 245}{index}.png' for index in range(20)]
    names = [output.name for output in plan_outputs(images, tmp_path / 'out').values()]
    assert len(set(names)) == 20 and all(len(name) <= 249 and name.endswith('.png') for name in names)
    assert names == [output.name for output in plan_outputs(images, tmp_path / 'out').values()]


def test_one_result_that_cannot_be_written__the_others_are(infer, tmp_path, monkeypatch):
    (tmp_path / 'in').mkdir()
    for name in 'abc':
        (tmp_path / 'in' / f'{name}.png').write_bytes(encoded(photo(), 'PNG'))
    Path('outputs/a.png.masks').mkdir(parents=True)
    Path('outputs/a.png.masks/labels.png').write_bytes(b'somebody\'s')
    Path('outputs/b.png.masks').write_bytes(b'a file where a folder belongs')
    code, out, err = infer('in', '--masks')
    assert code == 2 and b'1 of 3 pictures' in out and err.count(b'failed: ') == 2
    assert Path('outputs/c.png').exists()


def test_folder_that_cannot_be_written_to__ends_the_run(infer, tmp_path, monkeypatch):
    (tmp_path / 'in').mkdir()
    for name in 'abc':
        (tmp_path / 'in' / f'{name}.png').write_bytes(encoded(photo(), 'PNG'))

    def lost(*_, **__):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(files, 'write_atomic', lost)
    probe = files.tempfile.TemporaryFile
    probes = iter([probe])  # before the model is loaded the folder is still there
    monkeypatch.setattr(files.tempfile, 'TemporaryFile', lambda **options: next(probes, lost)(**options))
    code, out, err = infer('in')
    assert code == 2 and b'0 of 3' in out and err.count(b'failed: ') == 1


def test_skipped_files_are_counted_and_named(infer, tmp_path, monkeypatch):
    from densevit.images import heif
    from densevit.inference import sources
    monkeypatch.setattr(heif, 'has_heif', lambda: False)
    sources._picture_suffixes.cache_clear()
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'a.png').write_bytes(encoded(photo(), 'PNG'))
    for name in ('b.heic', 'c.HEIC', 'd.txt', 'e', 'f.txt', 'g.txt', 'h.txt', '.hidden'):
        (tmp_path / 'in' / name).write_bytes(b'')
    code, out, err = infer('in')
    (line,) = err.decode().splitlines()
    assert code == 0 and '4 .txt (d.txt, f.txt, g.txt, ...)' in line and '1 without a suffix (e)' in line
    assert '2 .heic (b.heic, c.HEIC; to read them run: pip install pillow-heif)' in line and 'hidden' not in line
    os.remove('in/a.png')
    code, out, err = infer('in')
    assert code == 2 and b'no pictures in this folder' in err and b'pip install pillow-heif' in err
    sources._picture_suffixes.cache_clear()


def test_printable():
    assert printable('a b é 写真 📷') == 'a b é 写真 📷'
    assert printable('\x1b[31m\n\r\t\x00\x7f\u202e\u2028' + os.fsdecode(b'\xff')) == (
        '\\x1b[31m\\n\\r\\t\\x00\\x7f\\u202e\\u2028\\xff')
    assert one_line(ValueError('\x1b[31ma\nb')) == '\\x1b[31ma b'

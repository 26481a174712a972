"""`demo/infer.py` as a user runs it, with a model that labels a pixel by its brightness."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from interpreters import OF_RUNS, run_program
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from densevit import inference
from densevit.errors import DoubtfulResultWarning
from densevit.images import read_image
from densevit.inference import cli, files
from densevit.inference.predictor import Predictor
from densevit.inference.sources import sample_image
from densevit.weights import zoo

SCRIPT = Path(__file__).parents[2] / 'demo' / 'infer.py'


class BrightnessModel(BaseModel):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, sample in zip(inputs, data_samples, strict=True):
            bright = image.float().mean(0) / 255
            sample.seg_logits = PixelData(data=torch.stack([1 - bright, bright]))
            sample.pred_sem_seg = PixelData(data=(bright > 0.5).long()[None])
        return data_samples


class InstanceModel(BaseModel):
    """Every second column of 20 pixels that is bright is an instance."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, sample in zip(inputs, data_samples, strict=True):
            bright = image.float().mean(0) > 127
            masks = torch.zeros(bright.shape[1] // 40, *bright.shape, dtype=torch.bool)
            for index, mask in enumerate(masks):
                mask[:, 40 * index:40 * index + 20] = bright[:, 40 * index:40 * index + 20]
            masks = masks[masks.any(2).any(1)]
            sample.pred_instances = InstanceData(
                masks=masks, labels=torch.ones(len(masks), dtype=torch.long), scores=torch.full((len(masks),), .75))
        return data_samples


@pytest.fixture
def infer(monkeypatch, tmp_path, capsys):
    """Runs the command in an empty folder; returns exit code, stdout and stderr."""
    cfg = Config(dict(default_scope='mmseg', test_pipeline=[dict(type='PackSegInputs')]))
    loaded = []

    def load(name, **options):
        loaded.append((name, options))
        model = InstanceModel() if name == 'instances' else BrightnessModel()
        return Predictor(model, cfg, classes=['dark', 'bright'])

    monkeypatch.setattr(inference, 'load', load, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '200')

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    run.loaded = loaded
    return run


def photo(path: Path, size=(80, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:, size[0] // 4:] = 220
    Image.fromarray(image).save(path)
    return path


def test_one_picture(infer, tmp_path):
    code, out, err = infer(photo(tmp_path / 'in' / 'street.png'))
    assert code == 0 and err == ''
    (line,) = [line.split() for line in out.splitlines() if 'bright' in line]
    assert line[1:] == ['bright', '│', '3,600', '│', '75.0%', '│', '0.86', '│']
    assert 'street.png, 80x60' in out and 'outputs/street.png' in out
    overlay = read_image('outputs/street.png')
    np.testing.assert_array_equal(overlay[:240, :320], read_image('in/street.png').repeat(4, 0).repeat(4, 1))
    assert infer.loaded == [('eomt_tiny_animals', dict(weights=None, base=None, device='auto', allow_random=False))]


def test_no_picture_takes_a_photograph_of_scikit_image(infer):
    code, _, _ = infer()
    assert code == 0
    photograph = read_image(sample_image())
    np.testing.assert_array_equal(read_image('outputs/chelsea.png')[:300, :451], photograph)


def test_instances_are_counted(infer, tmp_path):
    code, out, err = infer(photo(tmp_path / 'in' / 'cells.png', size=(400, 100)), '--model', 'instances')
    assert code == 0 and err == ''
    head, row = ([cell.strip() for cell in line.replace('┃', '│').split('│')[1:-1]] for line in out.splitlines()
                 if 'share' in line or 'bright' in line)
    assert head == ['class', 'instances', 'pixels', 'share', 'score']
    assert row == ['bright', '7', '14,000', '35.0%', '0.75']  # of ten, the first quarter is dark
    assert 'instances' not in infer('in/cells.png')[1]


def test_nothing_found_is_said(infer, tmp_path):
    Image.new('RGB', (80, 60)).save(tmp_path / 'black.png')
    for arguments in ((), ('--masks', '--json')):
        code, out, err = infer('black.png', '--model', 'instances', *arguments)
        assert code == 0 and err == ''
        assert out.splitlines()[1] == 'nothing found: no segment passes min_score=0.5' and 'share' not in out
    photo(tmp_path / 'cells.png', size=(400, 100))
    assert 'no segment passes min_score=0.8' in infer('cells.png', '--model', 'instances', '--min-score', '.8')[1]


def test_written_names_every_file(infer, tmp_path):
    photo(tmp_path / 'a.png')
    written = [infer('a.png', *flags)[1].splitlines()[-1] for flags in ((), ('--json',), ('--json', '--masks'))]
    assert written == ['written: outputs/a.png', 'written: outputs/a.png, outputs/a.png.json',
                       'written: outputs/a.png, outputs/a.png.json, outputs/a.png.masks/ (3 files)']


def test_doubts_are_a_line_each(infer, tmp_path, monkeypatch):
    def load(name, **options):
        warnings.warn('a library lacks a part', stacklevel=2)
        warnings.warn('the weights are [random]', DoubtfulResultWarning, stacklevel=2)
        return fake(name, **options)

    fake = inference.load
    monkeypatch.setattr(inference, 'load', load)
    Image.fromarray(np.full((60, 80), 255, np.uint16)).save(tmp_path / 'deep.png')
    code, out, err = infer('deep.png', photo(tmp_path / 'a.png'))
    weights, image = err.splitlines()
    assert code == 0 and weights == 'warning: the weights are [random]'
    assert image.startswith('warning: deep.png: 16-bit values of at most 255') and 'warning' not in out


def test_flags(infer, tmp_path):
    path = photo(tmp_path / 'a.png', size=(300, 300))
    code, _, _ = infer(path.as_uri(), '--config', 'c.py', '--weights', 'w.pth', '--base', 'b.pth', '--device', 'cpu',
                       '--out', 'deep/er', '--opacity', '0', '--no-legend', '--json', '--masks', '--allow-random')
    assert code == 0
    assert infer.loaded == [('c.py', dict(weights='w.pth', base='b.pth', device='cpu', allow_random=True))]
    picture = read_image(path)
    overlay = read_image('deep/er/a.png')
    assert overlay.shape == (300, 603, 3)
    np.testing.assert_array_equal(overlay[:, 303:], picture)
    content = json.loads(Path('deep/er/a.png.json').read_text())
    assert content['source'] == str(path) and content['areas'][0]['name'] == 'bright'
    labels = np.asarray(Image.open('deep/er/a.png.masks/labels.png'))
    np.testing.assert_array_equal(labels, (picture[..., 0] > 127).astype(np.uint8))


def test_folder_goes_on_past_bad_files_and_lists_them(infer, tmp_path):
    for name in ('a.png', 'c.jpg', 'g.png'):
        photo(tmp_path / 'in' / name)
    (tmp_path / 'in' / 'b.png').write_bytes(b'')
    (tmp_path / 'in' / 'd.png').write_text('text')
    (tmp_path / 'in' / 'e.jpg').write_bytes((tmp_path / 'in' / 'c.jpg').read_bytes()[:-150])
    code, out, err = infer('in')
    assert code == 2
    assert sorted(path.name for path in Path('outputs').iterdir()) == ['a.png', 'c.jpg', 'g.png']
    assert '3 of 6 pictures predicted' in out
    lines = err.splitlines()
    assert [line.split(':')[1].strip() for line in lines] == ['in/b.png', 'in/d.png', 'in/e.jpg']
    for line, reason in zip(lines, ('empty', 'not a picture', 'truncated'), strict=True):
        assert reason in line and ';' in line  # reason; remedy


def test_equal_names_do_not_collide_and_a_rerun_replaces(infer, tmp_path):
    photo(tmp_path / 'x' / '1.png'), photo(tmp_path / 'y' / '1.png', size=(300, 300))
    for _ in range(2):
        assert infer('*/1.png', '--json', '--masks')[0] == 0
    assert read_image('outputs/x/1.png').shape != read_image('outputs/y/1.png').shape
    assert Path('outputs/x/1.png.json').is_file()


def test_one_line_and_exit_code_2(infer, tmp_path):
    photo(tmp_path / 'a.png'), photo(tmp_path / 'mine' / 'a.png')
    before = (tmp_path / 'a.png').read_bytes(), (tmp_path / 'mine' / 'a.png').read_bytes()
    for arguments, message in (
            (['*.bmp'], 'no picture matches'),
            (['https://example.com/a.png'], 'download the picture'),
            (['a.png', '--out', '.'], 'would replace a picture'),
            (['a.png', '--out', 'a.png'], 'choose another folder'),
            (['a.png', '--out', 'mine'], 'exists and is not an earlier result')):
        code, _, err = infer(*arguments)
        assert code == 2 and message in err and len(err.splitlines()) == 1, arguments
    assert infer.loaded == []  # found out before a model is loaded
    code, _, err = infer('none.png')
    assert code == 2 and 'none.png: no such file; check the path' in err and len(err.splitlines()) == 1
    assert before == ((tmp_path / 'a.png').read_bytes(), (tmp_path / 'mine' / 'a.png').read_bytes())


def test_disk_too_small_is_known_before_inference(infer, tmp_path, monkeypatch):
    photo(tmp_path / 'a.png')
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda folder: type('', (), dict(free=1000))())
    code, _, err = infer('a.png')
    assert code == 2 and 'MB free' in err and infer.loaded == []


def test_disk_that_fills_up_ends_the_run(infer, tmp_path, monkeypatch):
    photo(tmp_path / 'in' / 'a.png'), photo(tmp_path / 'in' / 'b.png')

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    code, out, err = infer('in')
    assert code == 2 and '0 of 2 pictures' in out
    assert len(err.splitlines()) == 1 and 'No space left' in err
    assert list(Path('outputs').iterdir()) == []


def test_model_errors_are_one_line(infer, tmp_path, monkeypatch):
    def load(name, **options):
        raise KeyError('several\nlines')

    monkeypatch.setattr(inference, 'load', load)
    code, _, err = infer(photo(tmp_path / 'a.png'))
    assert code == 2 and len(err.splitlines()) == 1 and 'KeyError' in err
    assert 'Traceback' in infer('a.png', '--debug')[2]


def test_numbers__refused(infer, capsys):
    for argument, wanted in (('--opacity=2', 'number from 0 to 1'), ('--opacity=nan', 'number from 0 to 1'),
                             ('--min-score=half', 'number from 0 to 1'), ('--batch-size=0', 'number above 0')):
        with pytest.raises(SystemExit) as stop:
            infer(argument)
        assert stop.value.code == 2 and wanted in capsys.readouterr().err


def test_batches(infer, tmp_path):
    """The order of the pictures stays, and one that fails costs its own result alone."""
    for name, size in dict(a=(80, 60), b=(60, 80), d=(80, 60), e=(60, 80), f=(80, 60)).items():
        photo(tmp_path / 'in' / f'{name}.png', size)
    (tmp_path / 'in' / 'c.png').write_bytes(b'')
    code, out, err = infer('in', '--batch-size', '2')
    assert code == 2 and '5 of 6 pictures predicted' in out and err.startswith('failed: in/c.png')
    assert [line[3] for line in out.splitlines() if line.startswith('in/')] == list('abdef')


def test_notes_are_a_line_each(infer, tmp_path, monkeypatch):
    """Once, however many results they are about."""
    fake = inference.load

    def load(name, **options):
        predictor = fake(name, **options)
        predictor.notes = ('the weights are random',)
        return predictor

    monkeypatch.setattr(inference, 'load', load)
    code, out, err = infer(photo(tmp_path / 'a.png'), photo(tmp_path / 'b.png'))
    assert code == 0 and err == 'warning: the weights are random\n'


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, 'PYTHONPATH': str(SCRIPT.parents[1])}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120, env=environment)


def test_script_help_shows_examples():
    done = run_program(
        'import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name="__main__")', str(SCRIPT), '--help',
        path=[SCRIPT.parents[1], *sys.path], imported=OF_RUNS)
    assert done.returncode == 0 and 'python demo/infer.py dog.jpg' in done.stdout


def test_help_is_true(infer, tmp_path, capsys):
    """The models in the package, the names of the files, and what the numbers in them mean."""
    with pytest.raises(SystemExit):
        infer('--help')
    text = ' '.join(capsys.readouterr().out.split())
    bundled = sorted(name for name in zoo.names() if zoo.entry(name).is_bundled)
    assert f'in the package: {", ".join(bundled)};' in text
    photo(tmp_path / 'street.jpg')
    assert infer('street.jpg', '--json', '--masks')[0] == 0
    for path in ('outputs/street.jpg', 'outputs/street.jpg.json', 'outputs/street.jpg.masks'):
        assert path in text and Path(path).exists()
    segment = json.loads(Path('outputs/street.jpg.json').read_text())['segments'][1]
    assert all(key in text for key in segment)
    assert 'box = [x0, y0, x1, y1]' in text and segment['box'] == [20, 0, 80, 60]
    assert '000_car.png' in text and 'not a class id' in text
    assert Path('outputs/street.jpg.masks/001_bright.png').is_file()


def test_script_error_has_no_traceback(tmp_path):
    done = run_script(str(tmp_path / 'none*.png'), '--out', str(tmp_path / 'out'))
    assert done.returncode == 2 and done.stderr.startswith('error: ') and 'Traceback' not in done.stderr

"""`densevit predict` and the files that are there before it, with a model that gives pictures back as they are."""
from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from PIL import Image

from densevit import inference
from densevit.inference import cli
from densevit.inference.predictor import Predictor
from densevit.inference.tasks import TASKS
from densevit.weights import zoo


class Unchanged(BaseModel):
    task = 'restoration'

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.seen += len(inputs)
        for image, sample in zip(inputs, data_samples, strict=True):
            sample.pred_img = image.float() / 255
        return data_samples


@pytest.fixture
def predict(monkeypatch, tmp_path, capsys):
    """Runs the command in an empty folder; returns the exit code and what it says to the error stream."""
    pipeline = [dict(type='densevit.LoadPair'), dict(type='densevit.PackPair')]
    predictor = Predictor(Unchanged(), Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline)))))
    monkeypatch.setattr(inference, 'load', lambda name, **options: predictor)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        return cli.main(arguments, prog='densevit predict'), capsys.readouterr().err

    run.model = predictor.model
    return run


def picture(path: str, color: str) -> str:
    Path(path).parent.mkdir(exist_ok=True)
    Image.new('RGB', (40, 30), color).save(path)
    return path


def color_of(path: str) -> str:
    return {(255, 0, 0): 'red', (0, 0, 255): 'blue'}[Image.open(path).convert('RGB').getpixel((0, 0))]


def test_a_picture_named_as_the_file_of_another__both_are_kept(predict):
    picture('in/p.png', 'red'), picture('in/p.png.restored.png', 'blue')
    assert predict('in', '--out', 'out') == (0, '')
    assert color_of('out/p.png.restored.png') == 'red'
    assert color_of('out/p.png.restored_2.png.restored.png') == 'blue'
    assert predict('in/p.png.restored.png', '--out', 'out')[0] == 2  # in a run of its own, too
    assert color_of('out/p.png.restored.png') == 'red'


def test_somebody_elses_file__refused_before_a_picture_is_read(predict):
    picture('in/a.png', 'red')
    Path('out').mkdir()
    for name in ('a.png', 'a.png.json', 'a.png.restored.png'):
        Path('out', name).write_bytes(b'mine')
        code, said = predict('in/a.png', '--out', 'out', '--json')
        assert code == 2 and f'out/{name}: exists and is not an earlier result' in said
        assert Path('out', name).read_bytes() == b'mine'
        Path('out', name).unlink()
    assert predict.model.seen == 0 and list(Path('out').iterdir()) == []


def test_result_of_another_picture__refused_with_a_remedy(predict):
    picture('x/a.png', 'red'), picture('y/a.png', 'blue')
    for _ in range(2):
        assert predict('x/a.png') == (0, '')
    code, said = predict('y/a.png')
    assert code == 2 and 'outputs/a.png: is the result of another picture' in said and '--out' in said
    assert color_of('outputs/a.png.restored.png') == 'red' and predict.model.seen == 2
    assert predict('y/a.png', '--out', 'others') == (0, '')


def test_no_picture__replaces_what_a_model_has_shown(predict, monkeypatch):
    assert predict() == (0, '')
    photograph = picture('x/chelsea.png', 'red')
    monkeypatch.setattr(cli, 'sample_image', lambda: Path(photograph))
    assert predict() == (0, '')


@pytest.mark.parametrize(('arguments', 'said'), [
    (('--overlap', '.3'), '--overlap is about tiles: give --tiles HEIGHT WIDTH with it'),
    (('--no-whole-picture',), '--no-whole-picture is about tiles'), (('--merge', 'nms'), '--merge is about tiles'),
    (('--min-score', '.5'), '--min-score is for detection, semantic, instance and panoptic, and this model is for '
                            'restoration: leave it out'),
    (('--ply',), '--ply is for depth'), (('--tiles', '5', '5'), '(--tiles 640 640)')])
def test_arguments_that_do_not_fit__said_in_words_of_the_command(predict, arguments, said):
    picture('in/a.png', 'red')
    code, error = predict('in/a.png', *arguments)
    assert code == 2 and said in error.replace('\n', ' ') and 'TypeError' not in error
    assert predict.model.seen == 0


def test_two_kinds_of_tiles__refused(predict, capsys):
    for arguments in (('--tiles', '64', '64', '--auto-tiles'), ('--auto-tiles', '--tiles', '64', '64')):
        with pytest.raises(SystemExit) as stop:
            predict('a.png', *arguments)
        error = capsys.readouterr().err
        assert stop.value.code == 2 and '--tiles' in error and '--auto-tiles' in error


def test_a_list_of_references__refused_with_what_to_give(predict):
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ValueError, match='dictionary'):
        inference.load('').predict([image, image], reference=[image, image])


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.names[0])
def test_examples_of_a_task_are_commands(task):
    """Of a picture, with a model that is known."""
    for line in task.examples.strip().splitlines():
        command = re.split(r'\s{3,}', line.strip().removeprefix('{prog} '))[0]
        args = cli._parser('densevit predict').parse_args(shlex.split(command))
        assert args.images and all(Path(image).suffix in ('.png', '.jpg') for image in args.images), line
        scheme = args.model.partition(':')[0]
        assert args.config or args.model in zoo.names() or scheme in task.schemes, line

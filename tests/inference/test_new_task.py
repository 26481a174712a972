"""A task that nothing of the package knows: one class with its result, and a line in the list of tasks."""
from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from PIL import Image

from densevit.inference import cli, load, tasks
from densevit.inference.files import Artifact, is_own_file
from densevit.inference.result import Result, Row, Table
from densevit.inference.task import Argument, Task
from densevit.registry import MODELS

CONFIG = '''
default_scope = 'mmseg'
model = dict(type='densevit.BrightnessDepth')
test_pipeline = [dict(type='densevit.LoadImage'), dict(type='Resize', scale=(40, 40)), dict(type='PackSegInputs')]
'''


@dataclass(frozen=True, eq=False, repr=False)
class DepthResult(Result):
    task = 'brightness'
    depth: np.ndarray

    def draw(self, *, near: int = 255) -> np.ndarray:
        grey = np.rint(near * (1 - self.depth / self.depth.max())).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    def table(self) -> Table:
        return Table(('depth', 'metres'), (Row(('median', f'{np.median(self.depth):.1f}')),))

    def to_dict(self) -> dict:
        return super().to_dict() | dict(median=float(np.median(self.depth)))

    def artifacts(self, *, near: int = 255, metres: bool = False) -> list[Artifact]:
        return [Artifact('', partial(self.draw, near=near)), *[Artifact('.depth.tiff', lambda: self.depth)] * metres]


class Depth(Task):
    names = ('brightness',)
    fields = ('pred_depth_map',)
    files = {'.depth.tiff': 'metres'}
    needs_classes = False
    options = dict(scale=1.)
    arguments = (Argument('--scale', 'predict', dict(type=float)),
                 Argument('--metres', 'save', dict(action='store_const', const=True)))
    help = 'depth writes outputs/street.jpg.depth.tiff (--metres)'

    def max_pixels(self, model, num_classes):
        return None

    def read(self, sample, picture, call):
        depth = picture.canvas.restore(sample.pred_depth_map.data, 'bilinear')[0] * call.options['scale']
        return DepthResult(picture.image, depth.numpy(), source=picture.source, notes=picture.notes)


class BrightnessDepth(BaseModel):
    """The darker, the farther: up to 10 m."""
    task = 'brightness'

    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.weight = torch.nn.Parameter(torch.full((1,), 10.))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, sample in zip(inputs, data_samples, strict=True):
            depth = self.weight * (1 - image.float().mean(0, keepdim=True) / 255)
            depth = torch.nn.functional.interpolate(depth[None], sample.ori_shape, mode='bilinear')[0]
            sample.pred_depth_map = PixelData(data=depth)
        return data_samples


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    for module in (tasks, cli):
        monkeypatch.setattr(module, 'TASKS', (*tasks.TASKS, Depth()))
    monkeypatch.setitem(MODELS.module_dict, 'BrightnessDepth', BrightnessDepth)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((30, 50, 3), 51, np.uint8)).save(tmp_path / 'dark.png')
    (tmp_path / 'depth.py').write_text(CONFIG)
    return tmp_path / 'depth.py'


@pytest.mark.filterwarnings('ignore::densevit.errors.DoubtfulResultWarning')
def test_predict(config):
    predictor = load(config, device='cpu', allow_random=True, scale=2.)  # no class has a name
    assert predictor.classes is None and predictor.max_pixels is None
    first, second = predictor.predict(['dark.png', np.zeros((9, 7, 3), np.uint8)], batch_size=2)
    assert first.depth.shape == (30, 50) and abs(first.depth - 16).max() < 1e-4
    assert second.depth.shape == (9, 7) and second.notes == predictor.notes
    assert abs(predictor.predict('dark.png', scale=1.).depth - 8).max() < 1e-4
    with pytest.raises(TypeError, match="'min_score': choose of max_pixels, scale"):
        predictor.predict('dark.png', min_score=.5)


def test_command(config, capsys):
    arguments = ['dark.png', '--config', str(config), '--allow-random', '--device', 'cpu', '--json']
    assert cli.main([*arguments, '--scale', '3', '--metres'], prog='densevit predict') == 0
    out, err = capsys.readouterr()
    assert 'median' in out and '24.0' in out
    assert 'written: outputs/dark.png, outputs/dark.png.json, outputs/dark.png.depth.tiff' in out
    assert err.count('\n') == 1 and 'weights are random' in err
    written = [Path('outputs') / name for name in ('dark.png', 'dark.png.json', 'dark.png.depth.tiff')]
    assert all(map(is_own_file, written))
    assert json.loads(written[1].read_text())['task'] == 'brightness'
    assert abs(np.asarray(Image.open(written[2])) - 24).max() < 1e-4
    assert cli.main([*arguments, '--masks']) == 2  # of another task
    assert '--masks is for detection, semantic, instance and panoptic' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(['--help'], prog='densevit predict')
    shown = capsys.readouterr().out
    assert 'densevit predict dog.jpg' in shown and '--scale' in shown and 'depth writes' in shown

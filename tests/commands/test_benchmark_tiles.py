"""``benchmark tiles``: what tiles spoil beside whole pictures, and what memory they take."""
import re

import numpy as np
import pytest
from PIL import Image

CONFIG = """
model = dict(type='densevit.Restorer', head=dict(
    type='densevit.SwinIR', scale=2, embed_dim=8, depths=(1, ), num_heads=1, upsampler='pixelshuffledirect',
    skip='bicubic'))
test_dataloader = dict(dataset=dict(pipeline=[dict(type='densevit.LoadPair'), dict(type='densevit.PackPair')]))
"""


@pytest.mark.filterwarnings('ignore::densevit.errors.DoubtfulResultWarning')
def test_tiles(tmp_path, tool, capsys, monkeypatch):
    """Of a network that interpolates: tiles with an overlap leave no seam, and figures are those of interpolation."""
    (tmp_path / 'net.py').write_text(CONFIG)
    small = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    for name, image in (('HR', small.repeat(2, 0).repeat(2, 1)), ('LR', small)):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / 'a.png')
        Image.fromarray(image[:40 * len(image) // 60, :40 * len(image) // 60]).save(tmp_path / name / 'one_tile.png')
    shared = ('benchmark', 'tiles', tmp_path / 'net.py', '--allow-random', '--tiles', 40, 40)
    assert tool(*shared, '--data', tmp_path, '--size', '64x70') == 0
    out = capsys.readouterr().out
    assert float(re.search(r'64x70 x2 in tiles of 40x40: ([\d.]+) GB', out)[1]) > .1
    picture, count, whole, tiled, difference, energy = re.search(
        r'(a\.png)\W+(\d+)\W+([\d.]+)\W+([\d.]+) . +([+-][\d.]+)\W+([\d.]+)', out).groups()
    assert count == '6' and 'one_tile' not in out and float(whole) > 10
    assert float(difference) == pytest.approx(float(tiled) - float(whole), abs=2e-3) and abs(float(difference)) < .1
    assert float(energy) == pytest.approx(1, abs=.05)
    assert tool(*shared) == 2 and 'give pictures with --data' in capsys.readouterr().err
    assert tool(*shared[:-2], 200, 200, '--data', tmp_path) == 2
    assert 'holds every picture' in capsys.readouterr().err

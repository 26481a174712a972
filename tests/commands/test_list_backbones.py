"""The table of backbones says what is so."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from densevit.benchmarks.backbone_survey import FAMILIES, examine

ROOT = Path(__file__).parents[2]
TABLE = ROOT / 'docs' / 'backbones_table.md'
# Cheap ones of each kind: any size, padded, fixed, refused, of another class, plain.
SAMPLE = ('PVTv2', 'ConvNeXt', 'LeViT', 'Inception v3', 'Hiera', 'ViT AugReg')


@pytest.fixture(scope='module')
def rows() -> dict[str, str]:
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r'\| [^|]+ \| `', line)]
    return {line.split(' | ')[0].removeprefix('| '): line for line in lines}


def test_table__has_every_family_and_most_run(rows):
    assert list(rows) == list(FAMILIES)
    runs = [line for line in rows.values() if '` | yes | ' in line]
    assert len(runs) >= 60
    assert all(re.search(r' \| no: .{20,}? \| ', line) for line in rows.values() if line not in runs)
    assert f'{len(runs)} of {len(rows)} run' in TABLE.read_text()


def test_table__is_what_running_them_shows(rows):
    assert [examine(family).markdown() for family in SAMPLE] == [rows[family] for family in SAMPLE]


def test_command__writes_rows(tmp_path, tool, capsys):
    out = tmp_path / 'table.md'
    assert tool('backbones', '--families', 'Inception v3', '--out', out) == 0
    assert '0 of 1 run' in out.read_text() and '| Inception v3 | `inception_v3` |' in out.read_text()
    assert tool('backbones', '--families', 'Resnet') == 2
    assert 'the families are ViT AugReg' in capsys.readouterr().err

"""Build and run a backbone of every family that timm has, and write what came of it as a table."""
from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import timm
import torch
from rich.progress import track

from ..benchmarks.backbone_survey import FAMILIES, examine
from ..engine import cli
from ..files import write_atomic
from . import example

HEAD = """# Backbones

Made by `{command}` with timm {version}.
Each network was built with random weights and run at two sizes, one of them odd and not square. Other variants of a
family are taken by the same class.

- **image sizes**: what the backbone takes; "padded to n" are zeros at the right and bottom up to a multiple of n, which
  the maps do not show. "up to" is a family whose positions are made for one size; where `img_size=` stands, another one
  can be given at construction.
- **channels**, **strides**: of the maps that are returned without `out_indices`.
- **parameters**: in millions, of what is left without classifier.
- **one graph**: `torch.compile(fullgraph=True)` takes it at a fixed size.

{count} of {total} run.

| family | name | class | runs | image sizes | strides | channels | parameters | one graph |
|---|---|---|---|---|---|---|---|---|
"""


def _set_up() -> None:
    warnings.simplefilter('ignore')  # of timm, about names that were renamed
    torch.set_num_threads(1)


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(example('backbones', prog), prog=prog, description=__doc__)
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='Markdown file (default: the rows on the terminal)')
    parser.add_argument('--families', nargs='+', metavar='NAME', help='these alone, as in the first column')
    parser.add_argument('--jobs', type=int, default=1, help='processes, of 1 GB and a core each (default: %(default)s)')
    return parser


def survey(args: argparse.Namespace, command: str) -> None:
    """Run the families and print or write their rows; a file says with which command it was made."""
    families = args.families or list(FAMILIES)
    if unknown := [family for family in families if family not in FAMILIES]:
        raise ValueError(f'no family {unknown[0]!r}; the families are {", ".join(FAMILIES)}')
    show = dict(description='backbones', total=len(families), disable=not sys.stderr.isatty())
    if args.jobs == 1:
        _set_up()
        rows = list(track(map(examine, families), **show))
    else:
        with ProcessPoolExecutor(args.jobs, get_context('spawn'), _set_up) as pool:
            rows = list(track(pool.map(examine, families), **show))
    lines = [row.markdown() for row in rows]
    if args.out is None:
        print('\n'.join(lines))
        return
    head = HEAD.format(command=command, version=timm.__version__, count=sum(not row.failure for row in rows),
                       total=len(rows))
    write_atomic((head + '\n'.join(lines) + '\n').encode(), args.out)


def main(argv: Sequence[str], prog: str = 'densevit backbones') -> int:
    """Run the command."""
    return cli.run(partial(survey, command=f'{prog} {shlex.join(argv)}'), build_parser(prog), argv)

"""Write ADE20K's panoptic annotations from its label maps and instances."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..datasets.segmentation.ade20k_panoptic import SPLITS, convert_split
from ..engine import cli
from . import example


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(
        example('prepare-ade20k-panoptic', prog), prog=prog,
        description='Write ade20k_panoptic_{train,val}.json and their PNG files from label maps and instances.')
    parser.add_argument('root', type=Path, help='folder with images, annotations and annotations_instance')
    parser.add_argument('--splits', nargs='+', choices=tuple(SPLITS), default=tuple(SPLITS), help='default: both')
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Convert the splits, one after the other."""
    for split in args.splits:
        path = convert_split(args.root, split, _progress)
        print(f'\r{path} and the PNG files beside it')


def _progress(done: int, total: int) -> None:
    if done % 100 == 0:
        print(f'\r{done} of {total} images', end='', flush=True)


def main(argv: Sequence[str], prog: str = 'densevit prepare-ade20k-panoptic') -> int:
    """Run the command."""
    return cli.run(prepare, build_parser(prog), argv)

"""Write ADE20K's panoptic annotations: python tools/prepare_ade20k_panoptic.py data/ade/ADEChallengeData2016"""
from __future__ import annotations

import argparse
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

try:
    with redirect_stdout(io.StringIO()):  # OpenMMLab's packages tell what they could not import
        from densevit.datasets.segmentation.ade20k_panoptic import SPLITS, convert_split
        from densevit.engine import cli
except ModuleNotFoundError as error:
    print(f'error: {error.name} is not installed: run `pip install -e .` in {CHECKOUT}', file=sys.stderr)
    sys.exit(2)


def build_parser() -> cli.OneLineParser:
    parser = cli.OneLineParser(
        'python tools/prepare_ade20k_panoptic.py data/ade/ADEChallengeData2016 --splits val',
        prog='tools/prepare_ade20k_panoptic.py',
        description='Write ade20k_panoptic_{train,val}.json and their PNG files from label maps and instances.')
    parser.add_argument('root', type=Path, help='folder with images, annotations and annotations_instance')
    parser.add_argument('--splits', nargs='+', choices=tuple(SPLITS), default=tuple(SPLITS), help='default: both')
    return parser


def main(args: argparse.Namespace) -> None:
    for split in args.splits:
        path = convert_split(args.root, split, _progress)
        print(f'\r{path} and the PNG files beside it')


def _progress(done: int, total: int) -> None:
    if done % 100 == 0:
        print(f'\r{done} of {total} images', end='', flush=True)


if __name__ == '__main__':
    sys.exit(cli.run(main, build_parser()))

"""Make a file of the package's zoo, with its model card, from a training checkpoint."""
from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..engine import cli
from ..weights import publish as publishing
from . import example


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(example('publish-weights', prog), prog=prog, description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint of a training')
    parser.add_argument('name', help='of a model of the zoo, a row of densevit/weights/zoo.yml; a checkpoint of your '
                        'own needs none: --model takes its file')
    parser.add_argument('--metrics', nargs='+', type=_metric, required=True, metavar='NAME=VALUE',
                        help='in [0, 1]: mIoU=0.58')
    parser.add_argument('--data', default='', help='what it was trained on')
    parser.add_argument('--terms', default='', help='under which terms the data are given')
    parser.add_argument('--command', default='', help='how to train it again (default: tools/train.py with its config)')
    parser.add_argument('--scalars', metavar='FILE', help="the run's vis_data/scalars.json, for the curve")
    return parser


def _metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition('=')
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=VALUE, such as mIoU=0.58") from None


def publish(args: argparse.Namespace) -> None:
    """Write the weights and the card, and say where."""
    written = publishing.publish_weights(
        args.checkpoint, args.name, dict(args.metrics), data=args.data, terms=args.terms, command=args.command,
        scalars=args.scalars)
    for path in written:
        print(f'{path}: {path.stat().st_size:,} bytes')


def main(argv: Sequence[str], prog: str = 'densevit publish-weights') -> int:
    """Run the command."""
    return cli.run(publish, build_parser(prog), argv)

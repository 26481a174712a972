"""List the models that are known by name."""
from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..engine import cli
from ..weights import zoo
from ..weights.model_tables import reported_numbers
from . import example

_COLUMNS = ('name', 'task', 'weights', 'licence', 'metric')


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(
        example('models', prog), prog=prog,
        description='List the models whose names train, test, predict and benchmark take: weights in the package, or '
                    'downloaded when they are first used.')
    parser.add_argument('--task', choices=sorted({zoo.entry(name).task for name in zoo.names()}), help='these alone')
    parser.add_argument('--bundled', action='store_true', help='only those whose weights are in the package')
    parser.add_argument('--backbones', action='store_true',
                        help="run a backbone of every family of timm's instead; further arguments: see densevit "
                             'backbones --help')
    return parser


def print_models(args: argparse.Namespace) -> None:
    """Print a table of the zoo."""
    table = Table(*_COLUMNS, box=None)
    for item in map(zoo.entry, zoo.names()):
        if args.task in (None, item.task) and (item.is_bundled or not args.bundled):
            table.add_row(item.name, item.task, _weights(item), item.license, _metric(item))
    console = Console()
    console.print(table) if console.is_terminal else Console(width=_width(table)).print(table)


def _weights(item: zoo.ZooEntry) -> str:
    """Where the weights come from."""
    return 'in the package' if item.is_bundled else item.repo_id or item.file.partition('://')[2].partition('/')[0]


def _metric(item: zoo.ZooEntry) -> str:
    """From the first lines of the config: what was published, or what was reached here."""
    return ', '.join(f'{number} {unit}' for number, unit in reported_numbers(item.config))


def _width(table: Table) -> int:
    """In a file no row is broken."""
    return Console(width=1000).measure(table).maximum


def main(argv: Sequence[str], prog: str = 'densevit models') -> int:
    """Run the command; ``--backbones`` hands the other arguments to :mod:`densevit.commands.list_backbones`."""
    if '--backbones' in argv and not {'-h', '--help'} & set(argv):
        from . import list_backbones  # its imports take longer than the list of models
        return list_backbones.main([each for each in argv if each != '--backbones'], f'{prog} --backbones')
    return cli.run(print_models, build_parser(prog), argv)

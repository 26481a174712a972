"""Give a checkpoint the positions of one window, for pos_embed='tile' and 'absolute_window'; writes a new file."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ..engine import cli
from ..weights.absolute_window import Converted, check_output, convert_hiera, convert_plain_vit, write_converted
from ..weights.reading import read_state_dict
from . import example


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(example('convert-pos-embed', prog), prog=prog, description=__doc__)
    parser.add_argument('checkpoint', metavar='IN', help='checkpoint of a plain ViT, or of a Hiera with --decompose')
    parser.add_argument('output', metavar='OUT', help='file to write; .safetensors or .pth')
    parser.add_argument('--window', type=_side, required=True, metavar='TOKENS', help='side of a window in tokens')
    parser.add_argument('--global-grid', type=_side, metavar='TOKENS',
                        help='also add global positions of this side, which start at zero (absolute_window); with '
                        '--decompose, their side (default: 7)')
    parser.add_argument('--decompose', action='store_true',
                        help="split a pretrained Hiera's positions into a window and a global part")
    return parser


def _side(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of tokens, such as 14")
    return int(text)


def _convert(args: argparse.Namespace) -> Converted:
    state = read_state_dict(args.checkpoint)
    try:
        if args.decompose:
            return convert_hiera(state, args.window, args.global_grid or 7)
        return convert_plain_vit(state, args.window, args.global_grid)
    except ValueError as error:
        raise type(error)(f'{args.checkpoint}: {error}') from error


def convert(args: argparse.Namespace) -> None:
    """Read a checkpoint, convert its positions and write the new file."""
    output = Path(args.output)
    check_output(output)
    with torch.no_grad():
        converted = _convert(args)
    write_converted(converted, output)
    print(converted.done)
    print(f'{output}: {len(converted.state)} tensors, {output.stat().st_size:,} bytes')


def main(argv: Sequence[str], prog: str = 'densevit convert-pos-embed') -> int:
    """Run the command."""
    return cli.run(convert, build_parser(prog), argv)

"""Give a checkpoint the positions of one window, for pos_embed='tile' and 'absolute_window'; writes a new file."""
import argparse
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import torch

with redirect_stdout(io.StringIO()):  # OpenMMLab's packages tell what they could not import
    from densevit.engine.cli import OneLineParser, run
    from densevit.weights.absolute_window import (
        Converted,
        check_output,
        convert_hiera,
        convert_plain_vit,
        write_converted,
    )
    from densevit.weights.reading import read_state_dict

_EXAMPLE = ('python tools/convert_pos_embed.py mae_vit_base.pth mae_vit_base_window14.pth --window 14 --global-grid 7')


def build_parser() -> OneLineParser:
    parser = OneLineParser(_EXAMPLE, description=__doc__)
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


def main(args: argparse.Namespace) -> None:
    output = Path(args.output)
    check_output(output)
    with torch.no_grad():
        converted = _convert(args)
    write_converted(converted, output)
    print(converted.done)
    print(f'{output}: {len(converted.state)} tensors, {output.stat().st_size:,} bytes')


if __name__ == '__main__':
    sys.exit(run(main, build_parser()))

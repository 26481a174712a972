"""Measure densevit: python tools/benchmark.py op --levels 64x64 32x32 16x16"""
from __future__ import annotations

import argparse
import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # PyTorch's profiler, which counts memory, talks of itself

try:
    with redirect_stdout(io.StringIO()):  # OpenMMLab's packages tell what they could not import
        import torch
        from rich.console import Console
        from rich.progress import Progress
        from rich.table import Table

        from densevit.engine import cli, op_benchmark
except ModuleNotFoundError as error:
    print(f'error: {error.name} is not installed: run `pip install -e .` in {CHECKOUT}', file=sys.stderr)
    sys.exit(2)


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r'\d+x\d+', text):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form HEIGHTxWIDTH, such as 64x64")
    height, width = text.split('x')
    return int(height), int(width)


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a device; take cpu or cuda") from None
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError('PyTorch finds no GPU here; take cpu')
    return device


def build_parser() -> cli.OneLineParser:
    parser = cli.OneLineParser(
        'python tools/benchmark.py op', prog='tools/benchmark.py', description='Measure densevit.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='WHAT')
    default = op_benchmark.AttentionCase()
    op = commands.add_parser(
        'op', example='python tools/benchmark.py op --levels 64x64 32x32 16x16 --heads 8 --channels 32 --points 4',
        help='multi-scale deformable attention beside the PyTorch version of mmcv',
        description='Time and memory of multi-scale deformable attention beside the PyTorch version of mmcv; every '
                    'pixel of every level is a query.')
    op.add_argument('--levels', type=_size, nargs='+', default=default.levels, metavar='HxW',
                    help='maps (default: 64x64 32x32 16x16)')
    op.add_argument('--heads', type=int, default=default.heads, help='heads (default: %(default)s)')
    op.add_argument('--channels', type=int, default=default.channels, help='of a head (default: %(default)s)')
    op.add_argument('--points', type=int, default=default.points, help='a head and level (default: %(default)s)')
    op.add_argument('--batch', type=int, default=default.batch, help='images (default: %(default)s)')
    op.add_argument('--repeats', type=int, default=15, help='measurements of each (default: %(default)s)')
    op.add_argument('--threads', type=int, default=torch.get_num_threads(), help='of a CPU (default: %(default)s)')
    op.add_argument('--device', type=_device, default='cpu', help='cpu or cuda (default: %(default)s)')
    op.add_argument('--compile', action='store_true', help='put both through torch.compile')
    return parser


def main(args: argparse.Namespace) -> None:
    case = op_benchmark.AttentionCase(tuple(args.levels), args.heads, args.channels, args.points, args.batch)
    if args.threads < 1:
        raise ValueError(f'--threads must be at least 1, not {args.threads}')
    torch.set_num_threads(args.threads)
    functions, inputs = op_benchmark.implementations(case.levels, args.compile), case.inputs(args.device)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('measuring', total=op_benchmark.num_runs(functions, args.repeats))
        measured = op_benchmark.measure(functions, inputs, args.repeats, lambda: progress.advance(task))
    difference = op_benchmark.largest_difference(functions, inputs)
    Console().print(_table(case, args, measured, difference))


def _table(
    case: op_benchmark.AttentionCase, args: argparse.Namespace, measured: list[op_benchmark.Measurement],
    difference: float,
) -> Table:
    levels = ' '.join(f'{height}x{width}' for height, width in case.levels)
    table = Table(
        title=f'Deformable attention: {levels}, {case.num_queries} queries\n{case.heads} heads of {case.channels} '
              f'channels, {case.points} points, batch {case.batch}',
        caption=f'{args.repeats} runs by turns{", compiled" if args.compile else ""}, largest difference of outputs '
                f'{difference:.1g}\nPyTorch {torch.__version__}, {_machine(args)}')
    for name in ('direction', 'path', 'median ms', 'min ms', 'times faster', 'peak MB'):
        table.add_column(name, justify='left' if name in ('direction', 'path') else 'right')
    theirs = {row.direction: row.median for row in measured if row.implementation == op_benchmark.MMCV}
    for row in measured:
        table.add_row(
            row.direction, row.implementation, f'{row.median * 1e3:.2f}', f'{min(row.seconds) * 1e3:.2f}',
            f'{theirs[row.direction] / row.median:.2f}', f'{row.peak_bytes / 1e6:.1f}',
            end_section=row.implementation == op_benchmark.OURS)
    return table


def _machine(args: argparse.Namespace) -> str:
    if args.device.type == 'cuda':
        return torch.cuda.get_device_name(args.device)
    return f'CPU with {args.threads} thread{"s" if args.threads > 1 else ""}'


if __name__ == '__main__':
    sys.exit(cli.run(main, build_parser()))

"""Measure models and operators."""
from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..benchmarks import attention, models, report, tiles, training_memory
from ..benchmarks.timing import Timing
from ..engine import cli
from ..files import write_atomic
from ..registry import config_file
from . import example
from .known_names import find_config

PRESETS = dict(eomt=[
    f'densevit::{name}_coco_panoptic_640.py'
    for size in 'sbl'
    for name in (f'eomt/eomt_vit{size}', f'mask2former/mask2former_vitadapter_{size}_dinov2',
                 f'mask2former/mask2former_vitcomer_{size}_dinov2')])
PRESET_SIZE = (640, 640)
_TABLE_WIDTH = 150  # in a file

os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # PyTorch's profiler, which counts memory, talks of itself


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(example('benchmark', prog), prog=prog, description='Measure densevit.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='WHAT')
    _add_op(commands, f'{prog} op --levels 64x64 32x32 16x16 --heads 8 --channels 32 --points 4')
    _add_models(commands, f'{prog} models --preset eomt --out benchmark.md --chart benchmark.png')
    _add_memory(commands, f'{prog} memory densevit::eomt/eomt_vits_ade20k.py --size 512x512 --batch 2 --precision bf16')
    _add_tiles(commands, f'{prog} tiles swinir_tiny_x2 --data data/sr_test/Set5/x2 --tiles 64 64')
    return parser


def _add_op(commands: argparse._SubParsersAction, example: str) -> None:
    default = attention.AttentionCase()
    op = commands.add_parser(
        'op', example=example, help='multi-scale deformable attention beside the PyTorch version of mmcv',
        description='Time and memory of multi-scale deformable attention beside the PyTorch version of mmcv; every '
                    'pixel of every level is a query.')
    op.add_argument('--levels', type=_size, nargs='+', default=default.levels, metavar='HxW',
                    help='maps (default: 64x64 32x32 16x16)')
    op.add_argument('--heads', type=int, default=default.heads, help='heads (default: %(default)s)')
    op.add_argument('--channels', type=int, default=default.channels, help='of a head (default: %(default)s)')
    op.add_argument('--points', type=int, default=default.points, help='a head and level (default: %(default)s)')
    op.add_argument('--batch', type=int, default=default.batch, help='images (default: %(default)s)')
    _add_shared(op, repeats=15)
    op.set_defaults(measure=measure_op)


def _add_models(commands: argparse._SubParsersAction, example: str) -> None:
    parser = commands.add_parser(
        'models', example=example, help='whole models: size, arithmetic, time and memory',
        description='Parameters, multiplications, latency of one image, throughput and memory of the models of '
                    'configs, with the time of their trunks alone, by turns in one run. Weights are random. The last '
                    'column is the latency as a multiple of that of the first model.')
    parser.add_argument('configs', nargs='*', metavar='CONFIG',
                        help='files, densevit::NAME as in _base_, or names of known models; a config '
                        'is code: run what you trust')
    parser.add_argument('--preset', choices=PRESETS, help='EoMT beside Mask2Former with ViT-Adapter and with ViT-CoMer '
                        'at S, B and L, for COCO at 640x640, in place of a list of configs')
    parser.add_argument('--size', type=_size, metavar='HxW', default=PRESET_SIZE, help='images (default: 640x640)')
    parser.add_argument('--precision', choices=models.DTYPES, default='fp32', help='(default: %(default)s)')
    parser.add_argument('--batch', type=int, default=1, metavar='N', help='measure throughput with N images at a time')
    parser.add_argument('--predict', action='store_true', help='with the reading of masks; models of mmsegmentation '
                        'and mmdetection are always measured so')
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='write the table')
    parser.add_argument('--chart', type=Path, metavar='FILE.png', help='write a bar chart of latencies')
    _add_shared(parser, repeats=5)
    parser.set_defaults(measure=measure_models)


def _add_memory(commands: argparse._SubParsersAction, example: str) -> None:
    parser = commands.add_parser(
        'memory', example=example, help='memory of a training step: all, backbone frozen, and with adapters (LoRA)',
        description='The most memory that a training step of a config holds: weights, the state of the optimizer of '
                    'the config, activations and gradients. Everything learns; then the backbone is frozen; then '
                    'low-rank adapters (LoRA) learn in it, in all its layers, in attention alone, and in the upper '
                    'half alone. Weights and images are random.')
    parser.add_argument('config', metavar='CONFIG', help='a file, densevit::NAME as in _base_, or the name of a known '
                        'model; a config is code: run what you trust')
    parser.add_argument('--size', type=_size, metavar='HxW', default=PRESET_SIZE, help='images (default: 640x640)')
    parser.add_argument('--batch', type=int, default=2, metavar='N', help='images of a step (default: %(default)s)')
    parser.add_argument('--precision', choices=models.DTYPES, default='fp32', help='(default: %(default)s)')
    parser.add_argument('--objects', type=int, default=10, metavar='N', help='in an image (default: %(default)s)')
    parser.add_argument('--lora', nargs='+', action=cli.OptionAction, default={}, metavar='KEY=VALUE',
                        help='options of the adapters: r=16 alpha=32')
    parser.add_argument('--recompute', action='store_true',
                        help='also with blocks that are recomputed in the backward pass (grad_checkpointing)')
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='write the table')
    _add_machine(parser)
    parser.set_defaults(measure=measure_memory)


def _add_tiles(commands: argparse._SubParsersAction, example: str) -> None:
    parser = commands.add_parser(
        'tiles', example=example, help='restoration in tiles: memory, and PSNR and seams beside whole pictures',
        description='Restores pictures as a whole and in tiles: PSNR of both against the true ones (of luma within a '
                    'border of the scale, or of RGB at a scale of 1), and the seam energy: the mean step between '
                    'pixels across the borders of tiles, as a multiple of that elsewhere, relative to the whole '
                    'picture. Without seams it is 1.')
    parser.add_argument('model', metavar='MODEL', help='a known model, a config, or spandrel:FILE')
    parser.add_argument('--weights', metavar='FILE', help='a checkpoint for a config')
    parser.add_argument('--allow-random', action='store_true', help='go on without weights, to measure memory')
    parser.add_argument('--data', type=Path, metavar='FOLDER', help='with HR/ and LR/, or hq/ and lq/')
    parser.add_argument('--size', type=_size, metavar='HxW', help='measure the memory of a picture of this size')
    parser.add_argument('--tiles', type=int, nargs=2, default=(128, 128), metavar=('H', 'W'),
                        help='(default: 128 128)')
    parser.add_argument('--overlap', type=float, default=.2, metavar='SHARE', help='(default: %(default)s)')
    _add_machine(parser)
    parser.set_defaults(measure=measure_tiles)


def _add_shared(parser: argparse.ArgumentParser, repeats: int) -> None:
    parser.add_argument('--repeats', type=int, default=repeats, help='measurements of each (default: %(default)s)')
    _add_machine(parser)
    parser.add_argument('--compile', action='store_true', help='put everything through torch.compile')


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--threads', type=int, default=torch.get_num_threads(), help='of a CPU (default: %(default)s)')
    parser.add_argument('--device', type=_device, default='cpu', help='cpu or cuda (default: %(default)s)')


def measure(args: argparse.Namespace) -> None:
    """Measure what the arguments name and print a table."""
    if args.threads < 1:
        raise ValueError(f'--threads must be at least 1, not {args.threads}')
    torch.set_num_threads(args.threads)
    args.measure(args)


def measure_op(args: argparse.Namespace) -> None:
    case = attention.AttentionCase(tuple(args.levels), args.heads, args.channels, args.points, args.batch)
    functions, inputs = attention.implementations(case.levels, args.compile), case.inputs(args.device)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('measuring', total=attention.num_runs(functions, args.repeats))
        measured = attention.measure(functions, inputs, args.repeats, lambda: progress.advance(task))
    difference = attention.largest_difference(functions, inputs)
    Console().print(_table(case, args, measured, difference))


def measure_models(args: argparse.Namespace) -> None:
    if bool(args.configs) == bool(args.preset):
        raise ValueError(f'give configs, or --preset with one of {", ".join(PRESETS)}')
    paths = [_config(path) for path in args.configs or PRESETS[args.preset]]
    setting = models.Setting(args.size, args.device, args.precision, args.batch, args.compile, args.predict)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('building', total=len(paths))
        subjects = [models.Subject(path, setting) for path in progress.track(paths, task_id=task)]
        progress.reset(task, description='measuring', total=models.num_runs(subjects, setting, args.repeats))
        measured = models.measure(subjects, setting, args.repeats, lambda: progress.advance(task))
    peak = models.gemm_peak(setting)
    height, width = args.size
    caption = (f'{height}x{width}, {args.precision}{", compiled" if args.compile else ""}, medians of {args.repeats} '
               f'runs by turns, batches of {args.batch} for img/s; PyTorch {torch.__version__}, {_machine(args)}, '
               f'fastest matrix product {2 * peak / 1e12:.3g} TFLOP/s')
    table = Table(caption=caption)
    for name in report.COLUMNS:
        table.add_column(name, justify='left' if name in ('model', 'measured') else 'right', overflow='fold')
    for row in report.rows(measured, peak):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH).print(table)
    if args.out:
        write_atomic(report.markdown(measured, peak, caption).encode(), args.out)
    if args.chart:
        report.write_chart(measured, caption, args.chart)


def measure_memory(args: argparse.Namespace) -> None:
    if args.objects < 1:
        raise ValueError(f'--objects must be at least 1, not {args.objects}')
    setting = models.Setting(args.size, args.device, args.precision, args.batch)
    reports, height, width = [], *args.size
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('measuring')
        for measured in training_memory.measure(
                _config(args.config), setting, args.lora, args.recompute, args.objects,
                lambda done, total: progress.update(task, completed=done, total=total)):
            reports.append(measured)
    caption = (f'{args.config}, {args.batch} images of {height}x{width} with {args.objects} objects each, '
               f'{args.precision}; PyTorch {torch.__version__}, {_machine(args)}')
    table = Table(caption=caption)
    for name in training_memory.COLUMNS:
        table.add_column(name, justify='left' if name == 'run' else 'right', overflow='fold')
    for row in training_memory.rows(reports):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH).print(table)
    if args.out:
        write_atomic(training_memory.markdown(reports, caption).encode(), args.out)


def measure_tiles(args: argparse.Namespace) -> None:
    from ..inference import load
    from ..inference.tiling import Tiling

    if args.data is None and args.size is None:
        raise ValueError('give pictures with --data, a size with --size, or both')
    tiling = Tiling.of(tuple(args.tiles), args.overlap, False)
    predictor = load(args.model, weights=args.weights, device=args.device, allow_random=args.allow_random)
    if getattr(predictor.model, 'task', None) != 'restoration':
        raise ValueError(f'{args.model} is no model of restoration: densevit models --task restoration lists some')
    if predictor.model.takes:
        raise ValueError(f'{args.model} fills holes, and nothing here tells it where: choose a model that restores '
                         'whole pictures')
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    if args.size is not None:  # first: the memory of a process never falls
        taken = tiles.peak_memory(predictor, args.size, tiling)
        console.print(f'{args.size[0]}x{args.size[1]} x{predictor.model.scale} in tiles of {tiling.size[0]}x'
                      f'{tiling.size[1]}: {taken / 1e9:.2f} GB', highlight=False)
    if args.data is not None:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            progress.add_task('restoring', total=None)
            reports = list(tiles.compare(predictor, args.data, tiling))
        table = Table(caption=f'{args.model}, tiles of {tiling.size[0]}x{tiling.size[1]}, overlap {tiling.overlap:g}; '
                              f'{_machine(args)}')
        for name in tiles.COLUMNS:
            table.add_column(name, justify='left' if name == 'picture' else 'right', overflow='fold')
        for row in tiles.rows(reports):
            table.add_row(*row)
        console.print(table)


def _config(name: str) -> Path:
    path = config_file(find_config(name))
    if not path.is_file():
        raise FileNotFoundError(f'{name}: no such config')
    return path


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


def _table(
    case: attention.AttentionCase, args: argparse.Namespace, measured: dict[tuple[str, str], Timing],
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
    for (direction, implementation), timing in measured.items():
        theirs = measured[direction, attention.MMCV]
        table.add_row(
            direction, implementation, f'{timing.median * 1e3:.2f}', f'{min(timing.seconds) * 1e3:.2f}',
            f'{theirs.median / timing.median:.2f}', f'{timing.peak_bytes / 1e6:.1f}',
            end_section=implementation == attention.OURS)
    return table


def _machine(args: argparse.Namespace) -> str:
    if args.device.type == 'cuda':
        return torch.cuda.get_device_name(args.device)
    return f'CPU with {args.threads} thread{"s" if args.threads > 1 else ""}'


def main(argv: Sequence[str], prog: str = 'densevit benchmark') -> int:
    """Run the command."""
    return cli.run(measure, build_parser(prog), argv)

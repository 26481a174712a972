"""Train a model."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import is_main_process

from ..engine import cli, run_config, work_dir
from ..engine.checkpoints import latest_checkpoint
from ..engine.distributed import prepare_launcher
from ..registry import quiet_imports
from ..weights import safe_reading
from . import example
from .data_folder import add_data_argument, use_data
from .known_names import CHECKOUT, find_checkpoint, find_config


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(example('train', prog), prog=prog, description='Train a model from a config.')
    parser.add_argument('config', help='a file, densevit::NAME as in _base_, or the name of a known model; a config is '
                        'code: run what you trust')
    add_data_argument(parser)
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='continue a run, from the latest checkpoint of the work dir if none is given')
    parser.add_argument(
        '--load-from', metavar='CHECKPOINT',
        help='begin with these weights: a file, under our names or official ones, or the name of a known model')
    parser.add_argument(
        '--new-classes', action='store_true', help='with --load-from: begin with a new class head, for other classes')
    parser.add_argument(
        '--amp', nargs='?', const='auto', choices=('fp16', 'bf16', 'auto'),
        help='mixed precision (default of --amp: fp16 on a GPU, bf16 on a CPU)')
    cli.add_shared_arguments(parser, 'work_dirs/<config name>')
    return parser


def train(args: argparse.Namespace) -> None:
    """Train to the end, with everything that can be wrong tried before the model is built."""
    path = find_config(args.config)
    with quiet_imports():  # of the packages whose types the config names
        cfg = run_config.load_config(path, args.cfg_options, CHECKOUT)
    load_from, base = find_checkpoint(args.load_from, args.base)
    run_config.set_load_from(cfg, load_from, args.new_classes)
    if args.data:
        use_data(cfg, args.data, work_dir.choose_work_dir(cfg, path, args.work_dir))
    run_config.check_data(cfg, ('train', 'val'), CHECKOUT)
    prepare_launcher(cfg, args.launcher)
    folder = work_dir.choose_work_dir(cfg, path, args.work_dir)
    run_config.use_amp(cfg, args.amp)
    with work_dir.locked(folder), safe_reading():
        run_config.set_resume(cfg, args.resume)
        run_config.add_hooks(cfg)
        run_config.train(cfg, base, args.new_classes)
    if args.data and is_main_process():
        print(f'predict with it: densevit predict IMAGE --config {folder / Path(path).name} --weights '
              f'{latest_checkpoint(folder)}')


def main(argv: Sequence[str], prog: str = 'densevit train') -> int:
    """Run the command."""
    return cli.run(train, build_parser(prog), argv)

"""Train a model: python tools/train.py configs/tiny/eomt_tiny_camvid.py"""
from __future__ import annotations

import argparse
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

try:
    with redirect_stdout(io.StringIO()):  # OpenMMLab's packages tell what they could not import
        from densevit.engine import cli, run_config, work_dir
        from densevit.engine.distributed import prepare_launcher
        from densevit.weights import safe_reading
except ModuleNotFoundError as error:
    print(f'error: {error.name} is not installed: run `pip install -e .` in {CHECKOUT}', file=sys.stderr)
    sys.exit(2)


def build_parser() -> cli.OneLineParser:
    parser = cli.OneLineParser(
        'python tools/train.py configs/tiny/eomt_tiny_camvid.py --amp --cfg-options train_cfg.max_iters=100',
        prog='tools/train.py', description='Train a model from a config.')
    parser.add_argument('config', help='a file of configs/, or your own; a config is code: run what you trust')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='continue a run, from the latest checkpoint of the work dir if none is given')
    parser.add_argument(
        '--load-from', metavar='CHECKPOINT', help='begin with these weights, under our names or official ones')
    parser.add_argument(
        '--new-classes', action='store_true', help='with --load-from: begin with a new class head, for other classes')
    parser.add_argument(
        '--amp', nargs='?', const='auto', choices=('fp16', 'bf16', 'auto'),
        help='mixed precision (default of --amp: fp16 on a GPU, bf16 on a CPU)')
    cli.add_shared_arguments(parser, 'work_dirs/<config name>')
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = run_config.load_config(args.config, args.cfg_options, CHECKOUT)
    run_config.set_load_from(cfg, args.load_from, args.new_classes)
    run_config.check_data(cfg, ('train', 'val'), CHECKOUT)
    prepare_launcher(cfg, args.launcher)
    folder = work_dir.choose_work_dir(cfg, args.config, args.work_dir)
    run_config.use_amp(cfg, args.amp)
    with work_dir.locked(folder), safe_reading():
        run_config.set_resume(cfg, args.resume)
        run_config.add_hooks(cfg)
        run_config.train(cfg, args.base, args.new_classes)


if __name__ == '__main__':
    sys.exit(cli.run(main, build_parser()))

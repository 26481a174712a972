"""Evaluate a model: python tools/test.py configs/tiny/eomt_tiny_camvid.py work_dirs/eomt_tiny_camvid/iter_1550.pth"""
from __future__ import annotations

import argparse
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

try:
    with redirect_stdout(io.StringIO()):  # OpenMMLab's packages tell what they could not import
        from mmengine.model import is_model_wrapper

        from densevit.engine import cli, run_config, testing, work_dir
        from densevit.engine.distributed import prepare_launcher
        from densevit.weights import load_weights, safe_reading
except ModuleNotFoundError as error:
    print(f'error: {error.name} is not installed: run `pip install -e .` in {CHECKOUT}', file=sys.stderr)
    sys.exit(2)


def build_parser() -> cli.OneLineParser:
    parser = cli.OneLineParser(
        'python tools/test.py configs/tiny/eomt_tiny_camvid.py work_dirs/eomt_tiny_camvid/iter_1550.pth --out labels',
        prog='tools/test.py', description='Evaluate a model on the test data of a config.')
    parser.add_argument('config', help='a file of configs/, or your own; a config is code: run what you trust')
    parser.add_argument('checkpoint', help='a .pth of tools/train.py, or .safetensors')
    parser.add_argument('--tta', action='store_true', help='average over scales and mirror images')
    parser.add_argument('--out', metavar='FOLDER', help='write each prediction as a PNG of labels')
    cli.add_shared_arguments(parser, 'work_dirs/test/<config name>')
    return parser


def main(args: argparse.Namespace) -> None:
    cfg = run_config.load_config(args.config, args.cfg_options, CHECKOUT)
    if not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'the checkpoint {args.checkpoint} does not exist')
    run_config.check_data(cfg, ('test', ), CHECKOUT)
    testing.keep_test_only(cfg)
    if args.out:
        testing.write_labels(cfg, args.out)
    if args.tta:
        testing.augment_tests(cfg)
    prepare_launcher(cfg, args.launcher)
    work_dir.choose_work_dir(cfg, args.config, args.work_dir, default='work_dirs/test')
    run_config.add_hooks(cfg)
    with safe_reading():
        runner = run_config.build_runner(cfg)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        load_weights(model.module if args.tta else model, args.checkpoint, base=args.base)
        runner.test()


if __name__ == '__main__':
    sys.exit(cli.run(main, build_parser()))

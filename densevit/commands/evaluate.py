"""Evaluate a model."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.model import is_model_wrapper

from ..engine import cli, config_for_test, run_config, work_dir
from ..engine.distributed import prepare_launcher
from ..registry import quiet_imports
from ..weights import load_weights, safe_reading
from . import example
from .data_folder import add_data_argument, use_data
from .known_names import CHECKOUT, find_checkpoint, find_config, known_model


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(
        example('test', prog), prog=prog, description='Evaluate a model on the test data of a config.')
    parser.add_argument('config', help='a file, densevit::NAME as in _base_, or the name of a known model; a config is '
                        'code: run what you trust')
    parser.add_argument('checkpoint', nargs='?', help='a .pth of a training, .safetensors, or the name of a known '
                        'model (default: the weights of the known model that the config names)')
    add_data_argument(parser)
    parser.add_argument('--tta', action='store_true', help='average over scales and mirror images')
    parser.add_argument('--out', metavar='FOLDER', help='write each prediction as a PNG of labels')
    cli.add_shared_arguments(parser, 'work_dirs/test/<config name>')
    return parser


def evaluate(args: argparse.Namespace) -> None:
    """Predict the test data of a config and print the metrics of its evaluator."""
    path = find_config(args.config)
    with quiet_imports():  # of the packages whose types the config names
        cfg = run_config.load_config(path, args.cfg_options, CHECKOUT)
    name = known_model(path)
    if args.checkpoint is None and name is None:
        raise ValueError(f'{args.config} is the config of no known model: give a checkpoint behind it')
    checkpoint, base = find_checkpoint(args.checkpoint or name, args.base)
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'the checkpoint {checkpoint} does not exist')
    if args.data:
        folder = work_dir.choose_work_dir(cfg, path, args.work_dir, default='work_dirs/test')
        use_data(cfg, args.data, folder, checkpoint)
    run_config.check_data(cfg, ('test', ), CHECKOUT)
    config_for_test.keep_test_only(cfg)
    if args.out:
        config_for_test.write_labels(cfg, args.out)
    if args.tta:
        config_for_test.augment_tests(cfg)
    prepare_launcher(cfg, args.launcher)
    work_dir.choose_work_dir(cfg, path, args.work_dir, default='work_dirs/test')
    run_config.add_hooks(cfg)
    with safe_reading():
        runner = run_config.build_runner(cfg)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        load_weights(model.module if args.tta else model, checkpoint, base=base)
        runner.test()


def main(argv: Sequence[str], prog: str = 'densevit test') -> int:
    """Run the command."""
    return cli.run(evaluate, build_parser(prog), argv)

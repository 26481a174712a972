"""Teach ECO-M2F's gate how deep an image needs to be encoded: steps B and C of arXiv:2404.15244."""
from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track

from ..engine import cli, run_config, work_dir
from ..files import write_atomic
from ..models.pretraining import without_pretraining
from ..models.segmentation.exit_gate import require_gate, survey_exits
from ..networks.segmentation.eco.network import best_exits, fit_gate
from ..weights import load_weights, safe_reading
from . import example
from .known_names import CHECKOUT, find_config


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(
        example('fit-exit-gate', prog), prog=prog,
        description="Predict the validation images of a config behind every exit of a trained ECOMask2FormerNet, and "
        'teach its gate the exit at which quality minus beta times layers is greatest. The authors take training '
        'images: change val_dataloader.dataset by --cfg-options.')
    parser.add_argument('config', help='a file, densevit::NAME as in _base_, or the name of a known '
                        'model; a config is code: run what you trust')
    parser.add_argument('checkpoint', help='what a training has written')
    parser.add_argument('--beta', type=float, required=True, help='what a layer costs, in quality from 0 to 1')
    parser.add_argument('--quality', default='PQ', help='a measure of val_evaluator in percent (default: PQ)')
    parser.add_argument('--out', required=True, metavar='FILE', help='the checkpoint with the gate')
    cli.add_run_arguments(parser, 'work_dirs/exit_gate/<config name>')
    return parser


def fit(args: argparse.Namespace) -> None:
    """Predict behind every exit, teach the gate, and write the checkpoint with it."""
    out = Path(args.out)
    if out.exists():
        raise FileExistsError(f'{out} exists and would be overwritten: choose another --out')
    path = find_config(args.config)
    cfg = run_config.load_config(path, args.cfg_options, CHECKOUT)
    run_config.check_data(cfg, ('val', ), CHECKOUT)
    work_dir.choose_work_dir(cfg, path, args.work_dir, default='work_dirs/exit_gate')
    cfg.update(load_from=None, resume=False, model=without_pretraining(cfg.model), train_dataloader=None,
               train_cfg=None, optim_wrapper=None, param_scheduler=None)
    cfg.val_dataloader.batch_size = 1
    with safe_reading():
        runner = run_config.build_runner(cfg)
        loader = runner.build_dataloader(cfg.val_dataloader)
    network = require_gate(runner.model)
    load_weights(runner.model, args.checkpoint)
    runner.model.eval()
    evaluator = runner.build_evaluator(cfg.val_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    survey = survey_exits(runner.model, track(loader, 'images'), evaluator, args.quality)
    best = best_exits(survey.quality, args.beta, network.exits)
    gate = network.exit_gate.cpu()
    fit_gate(gate, survey.inputs, best)
    buffer = io.BytesIO()
    torch.save(dict(state_dict=runner.model.state_dict(), meta=dict(beta=args.beta, quality=args.quality)), buffer)
    write_atomic(buffer.getvalue(), out)
    chosen = gate(survey.inputs).argmax(1)
    for name, exits in (('the last exit', torch.full_like(best, len(network.exits) - 1)), ('the gate', chosen),
                        ('the best exit', best)):
        layers = torch.tensor(network.exits)[exits].float().mean()
        print(f'{name}: {100 * survey.quality.gather(1, exits[:, None]).mean():.1f} {args.quality} (mean over images), '
              f'{layers:.2f} layers')
    print(f'{out}: give it to densevit test with --cfg-options model.head.exit=None')


def main(argv: Sequence[str], prog: str = 'densevit fit-exit-gate') -> int:
    """Run the command."""
    return cli.run(fit, build_parser(prog), argv)

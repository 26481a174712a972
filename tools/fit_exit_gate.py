"""Teach ECO-M2F's gate how deep an image needs to be encoded: steps B and C of arXiv:2404.15244."""
from __future__ import annotations

import argparse
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

try:
    with redirect_stdout(io.StringIO()):  # OpenMMLab's packages tell what they could not import
        import torch
        from rich.progress import track

        from densevit.engine import cli, run_config, work_dir
        from densevit.files import write_atomic
        from densevit.models.pretraining import without_pretraining
        from densevit.models.segmentation.exit_gate import require_gate, survey_exits
        from densevit.networks.segmentation.eco.network import best_exits, fit_gate
        from densevit.weights import load_weights, safe_reading
except ModuleNotFoundError as error:
    print(f'error: {error.name} is not installed: run `pip install -e .` in {CHECKOUT}', file=sys.stderr)
    sys.exit(2)


def build_parser() -> cli.OneLineParser:
    parser = cli.OneLineParser(
        'python tools/fit_exit_gate.py configs/mask2former/eco_mask2former_swin_t_coco_panoptic.py '
        'work_dirs/eco_mask2former_swin_t_coco_panoptic/iter_368750.pth --beta 0.0005 --out eco_gate.pth',
        prog='tools/fit_exit_gate.py',
        description="Predict the validation images of a config behind every exit of a trained ECOMask2FormerNet, and "
        'teach its gate the exit at which quality minus beta times layers is greatest. The authors take training '
        'images: change val_dataloader.dataset by --cfg-options.')
    parser.add_argument('config', help='a file of configs/, or your own; a config is code: run what you trust')
    parser.add_argument('checkpoint', help='what tools/train.py has written')
    parser.add_argument('--beta', type=float, required=True, help='what a layer costs, in quality from 0 to 1')
    parser.add_argument('--quality', default='PQ', help='a measure of val_evaluator in percent (default: PQ)')
    parser.add_argument('--out', required=True, metavar='FILE', help='the checkpoint with the gate')
    cli.add_run_arguments(parser, 'work_dirs/exit_gate/<config name>')
    return parser


def main(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if out.exists():
        raise FileExistsError(f'{out} exists and would be overwritten: choose another --out')
    cfg = run_config.load_config(args.config, args.cfg_options, CHECKOUT)
    run_config.check_data(cfg, ('val', ), CHECKOUT)
    work_dir.choose_work_dir(cfg, args.config, args.work_dir, default='work_dirs/exit_gate')
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
    print(f'{out}: give it to tools/test.py with --cfg-options model.head.exit=None')


if __name__ == '__main__':
    sys.exit(cli.run(main, build_parser()))

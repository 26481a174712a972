"""Choose the layers of a network, pre-trained with masks, that are trained on whole images (RAM)."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config

from ..engine import cli
from ..errors import printable
from ..files import write_atomic
from ..registry import quiet_imports
from . import example
from .data_folder import add_data_argument, use_data
from .known_names import CHECKOUT, find_checkpoint, find_config


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(
        example('rank-layers', prog), prog=prog,
        description='Ranks the layers of a restoration network by mask attribute conductance (RAM, arXiv:2409.19403) '
                    'and writes a config that trains the first of them.')
    parser.add_argument('config', help='of the fine-tuning: a file, or densevit::NAME as in _base_; a config is code: '
                        'run what you trust')
    parser.add_argument('checkpoint', help='of the masked pre-training')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.py', help='the config that is written')
    parser.add_argument('--share', type=float, default=.3, help='of layers that are trained (default: %(default)s)')
    parser.add_argument('--images', type=int, default=16, metavar='N', help='training samples (default: %(default)s)')
    parser.add_argument('--mask-ratio', type=float, default=.5, help='of the pre-training (default: %(default)s)')
    parser.add_argument('--steps', type=int, default=16, help='from masked to whole images (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument('--device', type=torch.device, default='cpu', help='cpu or cuda (default: %(default)s)')
    add_data_argument(parser)
    return parser


def rank(args: argparse.Namespace) -> None:
    """Print the conductance of each layer, the largest first, and write the config.

    Raises:
        ValueError: The config is of no model of restoration, its pipeline masks pixels itself, or a number makes no
            sense.
    """
    from mmengine.registry import MODELS

    from ..engine import run_config
    from ..inference.pipeline import in_scope
    from ..models.pretraining import without_pretraining
    from ..networks.restoration.conductance import chosen_layers, mask_attribute_conductance
    from ..weights import load_weights, safe_reading

    if args.images < 1:
        raise ValueError(f'--images must be at least 1, not {args.images}')
    path = find_config(args.config)
    with quiet_imports():
        cfg = run_config.load_config(path, {}, CHECKOUT)
    checkpoint, base = find_checkpoint(args.checkpoint, None)
    with in_scope(cfg), safe_reading():
        model = MODELS.build(without_pretraining(cfg.model))
    if getattr(model, 'task', None) != 'restoration':
        raise ValueError(f'{args.config} is of no model of restoration')
    if model.takes:
        raise ValueError(f'{args.config} is of a network that fills holes, which learns from hidden pixels alone: '
                         'there are no whole images to train it on')
    load_weights(model, checkpoint, base=base)
    model.to(args.device).eval()
    totals: dict[str, float] = {}
    with TemporaryDirectory() as scratch:
        if args.data:
            use_data(cfg, args.data, Path(scratch))
        samples = _samples(cfg, args.images, args.seed)
    for index, sample in enumerate(samples):
        batch = model.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
        true = batch['data_samples'][0].gt_img
        target = true.float() / (1 if true.is_floating_point() else torch.iinfo(true.dtype).max)
        found = mask_attribute_conductance(
            model.network, batch['inputs'], target[None], args.mask_ratio, args.steps,
            generator=torch.Generator().manual_seed(args.seed + index))
        totals = {name: totals.get(name, 0.) + value / args.images for name, value in found.items()}
    chosen = chosen_layers(totals, args.share)
    for name in sorted(totals, key=totals.__getitem__, reverse=True):
        print(f'{totals[name]:.3e}  {"trained" if name in chosen else "kept   "}  {name}')
    write_atomic(_config(args, path, chosen).encode(), args.out)
    print(f'{len(chosen)} of {len(totals)} layers in {printable(args.out)}: train them with densevit train '
          f'{printable(args.out)} --load-from {printable(args.checkpoint)}')


def _samples(cfg: Config, count: int, seed: int) -> list[dict[str, Any]]:
    """The first training samples, augmented by a seed."""
    import numpy as np

    from ..inference.pipeline import in_scope
    from ..registry import DATASETS

    dataset = cfg.train_dataloader.dataset
    if any(step.type == 'densevit.MaskPixels' for step in dataset.get('pipeline', ())):
        raise ValueError('the pipeline of the config hides pixels itself: give the config of the fine-tuning')
    with in_scope(cfg):
        dataset = DATASETS.build(dataset)
    np.random.seed(seed)
    return [dataset[index % len(dataset)] for index in range(count)]


def _config(args: argparse.Namespace, base: str | Path, layers: Sequence[str]) -> str:
    name = str(base) if '::' in str(base) else Path(base).resolve().as_posix()
    lines = ',\n'.join(f'    {layer!r}' for layer in layers)
    return (f'# The {args.share:.0%} of layers with the largest mask attribute conductance (RAM, arXiv:2409.19403) of\n'
            f'# {args.checkpoint} on {args.images} training samples.\n'
            f'#\n# Command:  densevit train {args.out.name} --load-from {args.checkpoint}\n'
            f'_base_ = {name!r}\nmodel = dict(trained_layers=[\n{lines}\n])\n')


def main(argv: Sequence[str], prog: str = 'densevit rank-layers') -> int:
    """Run the command."""
    return cli.run(rank, build_parser(prog), argv)

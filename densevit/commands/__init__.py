"""The console command ``densevit``: what it can do, and how a part of it is started.

Each command is a module with ``main(argv, prog)``, which is imported when the command is chosen. The files of
``tools/`` and ``demo/`` start the same functions under their own names.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

from ..errors import printable
from ..registry import quiet_imports
from ..version import __version__


class Command(NamedTuple):
    """A command.

    Attributes:
        module: The module of this package that has its ``main``.
        help: What it does, in a line.
        example: Arguments that work.
    """
    module: str
    help: str
    example: str


COMMANDS = {
    'train': Command('train', 'train a model from a config', 'eomt_tiny_camvid --amp'),
    'test': Command('evaluate', 'evaluate a model on the test data of its config', 'eomt_tiny_camvid --out labels'),
    'predict': Command('predict', 'predict pictures: overlays, tables, JSON', 'street.jpg --model eomt_tiny_camvid'),
    'benchmark': Command('benchmark', 'parameters, arithmetic, time and memory of models',
                         'models eomt_tiny_camvid eomt_tiny_animals --size 256x320'),
    'models': Command('list_models', 'list the models that are known by name, or the backbones', '--task semantic'),
}
# What is needed once, for a data set, a checkpoint or a release.
RARE_COMMANDS = {
    'backbones': Command('list_backbones', "run a backbone of every family of timm's", '--families Swin ConvNeXt'),
    'convert-pos-embed': Command('convert_pos_embed', 'give a checkpoint the positions of one window',
                                 'mae_vit_base.pth mae_vit_base_window14.pth --window 14 --global-grid 7'),
    'fit-exit-gate': Command('fit_exit_gate', "teach ECO-M2F's gate how deep an image needs to be encoded",
                             'densevit::mask2former/eco_mask2former_swin_t_coco_panoptic.py iter_368750.pth '
                             '--beta 0.0005 --out eco_gate.pth'),
    'label-depth': Command('label_depth', 'let a large model of depth make what a small one learns from',
                           'photos/ --model depth_anything_v2_vits --out data/labelled'),
    'prepare-ade20k-panoptic': Command('prepare_ade20k_panoptic', "write ADE20K's panoptic annotations",
                                       'data/ade/ADEChallengeData2016 --splits val'),
    'publish-weights': Command('publish_weights', 'make a file of the zoo, with its card, from a checkpoint',
                               'work_dirs/eomt_tiny_camvid/iter_1550.pth eomt_tiny_camvid --metrics mIoU=0.603'),
    'rank-layers': Command('rank_layers', 'choose the layers that are trained behind a masked pre-training',
                           'densevit::ram/swinir_m_ram_finetune.py work_dirs/swinir_m_ram_pretrain/iter_400000.pth '
                           '--out ram_layers.py'),
}


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run a command.

    Args:
        argv: The name of the command and its arguments; those of the process when omitted.
        prog: What the command is called in its help, where that is not ``densevit NAME``.

    Returns:
        The exit code: 0, 2 after an error, and 128 + n after signal n.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['']
    commands = COMMANDS | RARE_COMMANDS
    if name in ('', '-h', '--help'):
        print(_help())
        return 0 if name else 2
    if name == '--version':
        print(f'densevit {__version__}')
        return 0
    if name not in commands:
        near = get_close_matches(name, commands, 1)
        hint = f'did you mean densevit {near[0]}?' if near else f'there are {", ".join(COMMANDS)}'
        print(f"error: densevit has no command '{printable(name)}': {hint} (see densevit --help)", file=sys.stderr)
        return 2
    try:
        with quiet_imports():
            module = import_module(f'.{commands[name].module}', __name__)
        return module.main(arguments, prog or f'densevit {name}')
    except KeyboardInterrupt:  # before the command looks after it, or of one that does not
        print('interrupted', file=sys.stderr)
        return 130


def example(name: str, prog: str) -> str:
    """The command line that the help of a command shows."""
    return f'{prog} {(COMMANDS | RARE_COMMANDS)[name].example}'


def _help() -> str:
    lines = ['usage: densevit COMMAND ...', '', 'Vision transformers for dense prediction: train, test, predict.', '']
    for title, commands in (('commands:', COMMANDS), ('needed once:', RARE_COMMANDS)):
        lines += [title, *(line for name, command in commands.items()
                           for line in (f'  {name:25}{command.help}', f'  {"":27}{example(name, f"densevit {name}")}')),
                  '']
    return '\n'.join([*lines, 'densevit COMMAND --help says what a command takes; densevit --version'])

"""What the command-line tools share: arguments, and one line for an error that the user can repair."""
from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from mmengine.config import DictAction
from mmengine.dist import is_main_process

from ..errors import one_line, print_trace, printable
from .progress import stop_progress
from .stopping import RunStopped

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
# Errors that come from configs, data, options and the machine. Others are faults of the program: their trace is shown.
USER_ERRORS = (ValueError, OSError, KeyError, ImportError, TypeError, ArithmeticError, AssertionError, SyntaxError,
               torch.OutOfMemoryError)
_OUT_OF_MEMORY = 'the GPU is out of memory: lower train_dataloader.batch_size, use --amp, or crop smaller images'


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, and exits with code 2."""

    def __init__(self, example: str, **kwargs: Any) -> None:
        super().__init__(
            epilog=f'example:\n  {example}', formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)
        self.add_argument('--debug', action='store_true', help='show the whole trace of an error')

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f'error: {printable(message)} (see {self.prog} --help)\n')


class OptionAction(DictAction):
    """``--cfg-options key=value ...`` that checks for the ``=``."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        for value in values:
            if not re.fullmatch(r'[^=\s]+=.*', value, re.DOTALL):
                parser.error(f"'{value}' after {option_string} is not of the form key=value")
        super().__call__(parser, namespace, values, option_string)


def add_run_arguments(parser: argparse.ArgumentParser, work_dir: str) -> None:
    """Arguments of all tools that run a config.

    Args:
        work_dir: What the help says of the default of ``--work-dir``.
    """
    parser.add_argument('--work-dir', metavar='FOLDER', help=f'for logs and checkpoints (default: {work_dir})')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
        help='change the config: train_cfg.max_iters=100 custom_hooks.0.power=1')


def add_shared_arguments(parser: argparse.ArgumentParser, work_dir: str) -> None:
    """Arguments of training and testing, as :func:`add_run_arguments`."""
    add_run_arguments(parser, work_dir)
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none',
        help='what started several processes (default: none)')
    parser.add_argument(
        '--base', metavar='CHECKPOINT',
        help='weights that a checkpoint of differences refers to: DINOv3 for EoMT-DINOv3')


def run(main: Callable[[argparse.Namespace], None], parser: OneLineParser, argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and run a tool.

    The exit code is 0, 2 after an error, and 128 + n after signal n: 130 after Ctrl-C, 143 after SIGTERM.
    """
    args = parser.parse_args(argv)
    try:
        main(args)
    except KeyboardInterrupt:
        stop_progress()
        _say(f'interrupted{_how_to_go_on(args)}')
        return EXIT_INTERRUPTED
    except RunStopped as stop:
        stop_progress()
        if is_main_process():
            _say(f'{stop}, {"the last checkpoint is " + stop.checkpoint if stop.checkpoint else "and nothing is saved"}'
                 f'{_how_to_go_on(args)}')
        return 128 + stop.signal
    except Exception as error:
        stop_progress()
        if args.debug or not isinstance(error, USER_ERRORS):
            print_trace()
        out_of_memory = isinstance(error, torch.OutOfMemoryError)
        _say(f'error: {_OUT_OF_MEMORY if out_of_memory else one_line(error)}')
        return EXIT_ERROR
    return 0


def _how_to_go_on(args: argparse.Namespace) -> str:
    if not hasattr(args, 'resume'):
        return ''
    work_dir = f' --work-dir {args.work_dir}' if args.work_dir else ''
    return f': continue from the last checkpoint with the same command and --resume ({args.config}{work_dir} --resume)'


def _say(line: str) -> None:
    rank, line = os.environ.get('RANK', '0'), printable(line)
    print(line if rank == '0' else f'[process {rank}] {line}', file=sys.stderr, flush=True)

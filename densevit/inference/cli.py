"""The command line of `demo/infer.py` and of `densevit predict`."""
from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from ..errors import DoubtfulResultWarning, one_line, print_trace, printable
from ..visualization.palette import text_color
from .files import OutputError, check_output_folder, refuse_foreign_files
from .result import Result, Table
from .sources import find_images, plan_outputs, sample_image, skipped_files
from .task import TILE_OPTIONS, Argument, Task
from .tasks import TASKS, tasks_of

if TYPE_CHECKING:
    from .predictor import Predictor

_BUNDLED = Path(__file__).parents[1] / 'weights' / 'bundled'

_EXAMPLES = """examples:
  {prog}                                                   a photograph that is installed with scikit-image{examples}
  {prog} photos/ "more/**/*.png" --json                    folders and patterns; JSON beside each picture
  {prog} street.jpg --config densevit::eomt/eomt_vitl_ade20k.py --weights eomt.pth --device cuda
"""


class _PrintableParser(argparse.ArgumentParser):
    """A name that a shell's pattern gave may look like an option, and is then in the message."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'error: {printable(message)} (see {self.prog} --help)\n')


class Failure(NamedTuple):
    image: Path
    reason: str


def main(argv: Sequence[str] | None = None, prog: str = 'python demo/infer.py') -> int:
    """Run the command.

    Args:
        argv: The arguments; those of the process if None.
        prog: How the command is called, for its help.

    Returns:
        0 if every picture has a result, 2 if not, 130 if interrupted.
    """
    args = _parser(prog).parse_args(argv)
    # With the streams, rich knows their encodings.
    console, errors = Console(file=sys.stdout), Console(file=sys.stderr, soft_wrap=True)
    try:
        doubts = _Doubts(errors)
        with doubts.instead_of_warnings():
            failures = _run(args, console, errors, doubts)
    except KeyboardInterrupt:
        errors.print('interrupted')
        return 130
    except Exception as error:  # for the user a line, whatever part of the program it comes from
        if args.debug:
            print_trace()
        errors.print(f'[bold red]error:[/] {_shown(one_line(error), errors)}', highlight=False)
        return 2
    for failure in failures:
        errors.print(f'[bold red]failed:[/] {_shown(_reason(failure), errors)}', highlight=False)
    return 2 if failures else 0


def _parser(prog: str) -> argparse.ArgumentParser:
    examples = ''.join(task.examples for task in TASKS)
    parser = _PrintableParser(
        prog=prog, description='Predict pictures: a picture of each result, a table, and files of its parts.',
        epilog='\n\n'.join([*filter(None, (task.help for task in TASKS)),
                            _EXAMPLES.replace('{examples}', examples).replace('{prog}', prog)]),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='*', metavar='IMAGE', help='file, folder, glob or file:// URL')
    parser.add_argument('--model', default='eomt_tiny_animals', metavar='NAME',
                        help=f'in the package: {", ".join(_bundled_models())}; or a published model, whose weights are '
                             'downloaded: a wrong name lists all (default: %(default)s)')
    parser.add_argument('--config', metavar='FILE',
                        help='config of a model, in place of --model: a path, or densevit::NAME as in _base_; a '
                             'config is code: run what you trust')
    parser.add_argument('--weights', metavar='FILE', help='checkpoint for --config, or another one for --model')
    parser.add_argument('--base', metavar='FILE', help='what weights of differences refer to: DINOv3 for EoMT-DINOv3')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, ... (default: %(default)s)')
    parser.add_argument('--batch-size', type=_positive, default=1, metavar='N',
                        help='pictures of one size that the model sees at once (default: %(default)s)')
    cutters = _listed([name for task in TASKS if task.can_tile for name in task.names])
    tiles = parser.add_mutually_exclusive_group()
    tiles.add_argument('--tiles', type=_positive, nargs=2, metavar=('H', 'W'),
                       help='predict a larger picture in overlapping tiles of H x W of its pixels, for small objects '
                            f'or little memory; for {cutters}')
    tiles.add_argument('--auto-tiles', dest='tiles', action='store_const', const='auto',
                       help='in tiles as large as the free memory suffices for; of models that shrink no picture')
    parser.add_argument('--overlap', type=float, metavar='SHARE',
                        help='the least share of a tile that the next one has, too, 0 to below 1 (default: 0.2)')
    parser.add_argument('--no-whole-picture', dest='whole_picture', action='store_const', const=False,
                        help='predict tiles alone, and not the whole picture for objects larger than they are')
    parser.add_argument('--out', type=Path, default=Path('outputs'), metavar='FOLDER',
                        help='where results go, in place of earlier ones of the same pictures; files of others in it '
                             'are left alone (default: %(default)s)')
    parser.add_argument('--json', action='store_true', help='write what is found as JSON; see below')
    parser.add_argument('--allow-random', action='store_true', help='go on without weights; the results mean nothing')
    parser.add_argument('--debug', action='store_true', help='show where an error comes from')
    for flag, argument in _task_arguments().items():
        parser.add_argument(flag, **argument.settings)
    return parser


def _task_arguments() -> dict[str, Argument]:
    """By flag; what several tasks have is one argument."""
    return {argument.flag: argument for task in reversed(TASKS) for argument in task.arguments}


def _options(args: argparse.Namespace, of: str) -> dict[str, Any]:
    """Options of `predict` or of `Result.save` that are given."""
    names = [_option(argument) for argument in _task_arguments().values() if argument.of == of]
    if of == 'predict':
        names += TILE_OPTIONS
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _option(argument: Argument) -> str:
    return argument.settings.get('dest', argument.flag.lstrip('-').replace('-', '_'))


def _check_tile_flags(args: argparse.Namespace) -> None:
    """See that what is said about tiles is said with them.

    Raises:
        ValueError: It is not; the message names the arguments as a command has them.
    """
    about_tiles = {'overlap': '--overlap', 'whole_picture': '--no-whole-picture'} | {
        _option(argument): argument.flag for task in TASKS for argument in task.arguments
        if _option(argument) in task.tile_options}
    for option, flag in about_tiles.items():
        if args.tiles is None and getattr(args, option) is not None:
            raise ValueError(f'{flag} is about tiles: give --tiles HEIGHT WIDTH with it')


def _check_flags_of(task: Task, args: argparse.Namespace, in_force: Iterable[str]) -> None:
    """See that a model's task has the arguments that are given, before a picture is read.

    Args:
        in_force: Options of the model itself.

    Raises:
        ValueError: It has not; the message says whose they are.
    """
    own, of = {argument.flag for argument in task.arguments}, _listed(task.names)
    for flag, argument in _task_arguments().items():
        option = _option(argument)
        if getattr(args, option) is None or flag in own or option in in_force:
            continue
        owners = [name for each in TASKS if flag in {other.flag for other in each.arguments} for name in each.names]
        raise ValueError(f'{flag} is for {_listed(owners)}, and this model is for {of}: leave it out')
    if args.tiles is not None and not task.can_tile:
        raise ValueError(f'--tiles: results of models for {of} are not merged; leave it out')


def _listed(names: Sequence[str]) -> str:
    return ' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number above 0')
    return int(text)


def _bundled_models() -> list[str]:
    """Those whose weights are in the package, from its files: the zoo is imported with PyTorch."""
    return sorted(path.stem for path in _BUNDLED.glob('*.safetensors'))


class _Doubts:
    """What a user should know, as lines on the error stream; each once, however many results it is about."""

    def __init__(self, errors: Console) -> None:
        self._errors = errors
        self._said: set[str] = set()

    def say(self, doubt: object) -> None:
        if str(doubt) not in self._said:
            self._said.add(str(doubt))
            self._errors.print(f'[bold yellow]warning:[/] {_shown(doubt, self._errors)}', highlight=False)

    @contextmanager
    def instead_of_warnings(self) -> Iterator[None]:
        """Warnings that a result may mean nothing become lines; of others, Pillow's are left out."""
        with warnings.catch_warnings():
            show = warnings.showwarning

            def show_ours_as_line(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
                if issubclass(category, DoubtfulResultWarning):
                    self.say(message)
                else:
                    show(message, category, *where, **options)

            warnings.showwarning = show_ours_as_line
            warnings.filterwarnings('ignore', module='PIL')
            warnings.simplefilter('always', DoubtfulResultWarning)
            yield


def _shown(text: object, console: Console) -> str:
    """Text from outside for rich: printable, in characters that the stream has, no markup."""
    encoding = getattr(console.file, 'encoding', None) or 'utf-8'
    return escape(printable(text).encode(encoding, 'backslashreplace').decode(encoding))


def _run(args: argparse.Namespace, console: Console, errors: Console, doubts: _Doubts) -> list[Failure]:
    """Everything that can go wrong without the model is tried before the model is built."""
    images = find_images(args.images) if args.images else [sample_image()]
    if skipped := skipped_files(args.images):
        errors.print(_shown(skipped, errors), highlight=False)
    _check_tile_flags(args)
    outputs = plan_outputs(images, args.out, ['.json', *(name for task in TASKS for name in task.files)])
    check_output_folder(args.out, needed_bytes=_expected_bytes(images))
    for image, output in outputs.items():
        # A command without a picture shows what a model does: each may replace what another has shown.
        refuse_foreign_files(output, ['', *['.json'] * args.json], image, of_any_source=not args.images)
        if not output.name.startswith(image.stem):
            errors.print(_shown(f'{image}: the name is too long for results; they are called {output.name}', errors),
                         highlight=False)
    save_options = dict(json=args.json, **_options(args, 'save'))
    predictor = _load(args)
    options = _options(args, 'predict')
    if not args.images:
        image, own_options = predictor.sample(images[0], args.out)
        images, outputs, options = [image], {image: outputs[images[0]]}, {**own_options, **options}
    if len(tasks := tasks_of(predictor.model)) == 1:
        model_options = getattr(predictor.model, 'prediction_options', dict)()
        _check_flags_of(tasks[0], args, model_options)
        names = [name for name, option in tasks[0].files.items() if option is None or save_options.get(option)]
        for image, output in outputs.items():
            refuse_foreign_files(output, names, image, of_any_source=not args.images)
    outcomes = predictor.outcomes(images, args.batch_size, **options)
    failures, done = [], 0
    with _progress_bar(console, hidden=len(images) == 1) as progress:
        for image in progress.track(images, description='predicting'):
            try:
                _finish(next(outcomes), outputs[image], save_options, console, doubts)
            except Exception as error:
                if args.debug:
                    print_trace()
                failures.append(Failure(image, one_line(error)))
                if isinstance(error, OutputError) and (error.is_disk_full or not _takes_results(args.out)):
                    break  # the next picture would find the same disk
                continue
            done += 1
    if len(images) > 1:
        console.print(f'{done} of {len(images)} pictures predicted', highlight=False)
    return failures


def _takes_results(folder: Path) -> bool:
    try:
        check_output_folder(folder)
    except OutputError:
        return False
    return True


def _load(args: argparse.Namespace) -> Predictor:
    # Libraries print and warn at import of what they lack: nothing that the user could act on.
    quiet = nullcontext() if args.debug else redirect_stdout(io.StringIO())
    with quiet, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        warnings.simplefilter('always', DoubtfulResultWarning)
        from . import load  # PyTorch and OpenMMLab take seconds; --help and mistyped paths need not wait for them

        return load(args.config or args.model, weights=args.weights, base=args.base, device=args.device,
                    allow_random=args.allow_random)


def _expected_bytes(images: Sequence[Path]) -> int:
    """A rough bound: an overlay beside its picture takes a few times the picture's file."""
    return 4 * sum(image.stat().st_size for image in images if os.path.isfile(image)) + 2**20


def _progress_bar(console: Console, hidden: bool) -> Progress:
    return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                    console=console, disable=hidden, transient=True)


def _names(written: Sequence[Path]) -> str:
    """The files beside the picture, and folders with the number of files in them."""
    folder = written[0].parent
    folders = Counter(path.parent for path in written if path.parent != folder)
    return ', '.join([*[str(path) for path in written if path.parent == folder],
                      *[f'{path}{os.sep} ({count} files)' for path, count in folders.items()]])


def _finish(
    outcome: Result | Exception,
    output: Path,
    save_options: dict[str, Any],
    console: Console,
    doubts: _Doubts,
) -> None:
    """Save a result and say what it is."""
    if isinstance(outcome, Exception):
        raise outcome
    for note in outcome.notes:
        doubts.say(note)
    written = outcome.save(output, **save_options)
    height, width = outcome.image_size
    # Paths stay on one line of their own, to be copied or opened.
    console.print(_shown(f'{outcome.source}, {width}x{height}', console), soft_wrap=True, highlight=False)
    table = outcome.table()
    if table.rows:
        console.print(_rich_table(table, console))
    else:
        console.print(_shown(table.empty, console), soft_wrap=True, highlight=False)
    console.print(_shown(f'written: {_names(written)}', console), soft_wrap=True, highlight=False)


def _rich_table(table: Table, console: Console) -> RichTable:
    shown = RichTable()
    shown.add_column(table.columns[0], overflow='fold')
    for name in table.columns[1:]:
        shown.add_column(name, justify='right')
    for row in table.rows:
        first, *others = (_shown(cell, console) for cell in row.cells)
        if row.color is not None:
            ink, color = (','.join(map(str, values)) for values in (text_color(row.color), row.color))
            first = f'[rgb({ink}) on rgb({color})] {first} [/]'
        shown.add_row(first, *others)
    return shown


def _reason(failure: Failure) -> str:
    """Path and reason, the path once."""
    path = printable(failure.image)
    return failure.reason if failure.reason.startswith(path) else f'{path}: {failure.reason}'


if __name__ == '__main__':
    sys.exit(main())

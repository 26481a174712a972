"""The command line of `demo/infer.py`."""
from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from densevit.errors import DoubtfulResultWarning, one_line, print_trace, printable
from densevit.visualization.legend import percent_text
from densevit.visualization.palette import text_color

from .result import SegmentationResult
from .saving import OutputError, check_output_folder, json_file, masks_folder_of, refuse_foreign_file
from .sources import find_images, plan_outputs, sample_image, skipped_files

if TYPE_CHECKING:
    from .predictor import Predictor

_BUNDLED = Path(__file__).parents[1] / 'weights' / 'bundled'

_EPILOG = """beside the overlay outputs/street.jpg:
  outputs/street.jpg.json    (--json) "segments", each with label (class id), name, score, pixels and
                             box = [x0, y0, x1, y1] in pixels, x1 and y1 exclusive; "areas", each with name,
                             pixels, fraction and, if the task has them, instances
  outputs/street.jpg.masks/  (--masks) 000_car.png, 001_car.png, ...: a mask for each segment; the number is its
                             place in the "segments" of the JSON, from 0, not a class id. Class ids are the values of
                             labels.png, which semantic and panoptic results have; 255 is none (of more than
                             255 classes: 16 bits, and 65535)

examples:
  python demo/infer.py                                   a photograph that is installed with scikit-image
  python demo/infer.py dog.jpg                           outputs/dog.jpg: the picture, its overlay and a legend
  python demo/infer.py street.jpg --model eomt_tiny_camvid    streets: roads, cars, buildings, trees ...
  python demo/infer.py photos/ "more/**/*.png" --json    folders and patterns; JSON beside each overlay
  python demo/infer.py cells.png --model eomt_tiny_nuclei --masks    each instance in a shade of its own
  python demo/infer.py street.jpg --config densevit::eomt/eomt_vitl_ade20k.py --weights eomt.pth --device cuda
"""


class _PrintableParser(argparse.ArgumentParser):
    """A name that a shell's pattern gave may look like an option, and is then in the message."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class Failure(NamedTuple):
    image: Path
    reason: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if every picture was segmented, 2 if not."""
    args = _parser().parse_args(argv)
    # With the streams, rich knows their encodings.
    console, errors = Console(file=sys.stdout), Console(file=sys.stderr, soft_wrap=True)
    try:
        with _doubts_as_lines(errors):
            failures = _run(args, console, errors)
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


def _parser() -> argparse.ArgumentParser:
    parser = _PrintableParser(
        prog='demo/infer.py', description='Segment pictures: overlays with a legend, areas, masks and JSON.',
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    parser.add_argument('--out', type=Path, default=Path('outputs'), metavar='FOLDER', help='(default: %(default)s)')
    parser.add_argument('--opacity', type=_fraction, default=0.5, help='of the colours, 0 to 1 (default: %(default)s)')
    parser.add_argument('--no-legend', action='store_true', help='leave out the legend')
    parser.add_argument('--json', action='store_true', help='write classes, scores, boxes and areas; see below')
    parser.add_argument('--masks', action='store_true', help='write a PNG for each segment; see below')
    parser.add_argument('--allow-random', action='store_true', help='go on without weights; the masks mean nothing')
    parser.add_argument('--debug', action='store_true', help='show where an error comes from')
    return parser


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 to 1')
    return value


def _bundled_models() -> list[str]:
    """Those whose weights are in the package, from its files: the zoo is imported with PyTorch."""
    return sorted(path.stem for path in _BUNDLED.glob('*.safetensors'))


@contextmanager
def _doubts_as_lines(errors: Console) -> Iterator[None]:
    """Warnings that a result may mean nothing as lines for the user; others as they are."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_ours_as_line(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
            if issubclass(category, DoubtfulResultWarning):
                errors.print(f'[bold yellow]warning:[/] {_shown(message, errors)}', highlight=False)
            else:
                show(message, category, *where, **options)

        warnings.showwarning = show_ours_as_line
        warnings.simplefilter('always', DoubtfulResultWarning)
        yield


def _shown(text: object, console: Console) -> str:
    """Text from outside for rich: printable, in characters that the stream has, no markup."""
    encoding = getattr(console.file, 'encoding', None) or 'utf-8'
    return escape(printable(text).encode(encoding, 'backslashreplace').decode(encoding))


def _run(args: argparse.Namespace, console: Console, errors: Console) -> list[Failure]:
    """Everything that can go wrong without the model is tried before the model is built."""
    images = find_images(args.images) if args.images else [sample_image()]
    if skipped := skipped_files(args.images):
        errors.print(_shown(skipped, errors), highlight=False)
    outputs = plan_outputs(images, args.out)
    check_output_folder(args.out, needed_bytes=_expected_bytes(images))
    for image, output in outputs.items():
        refuse_foreign_file(output, image)
        if args.json:
            refuse_foreign_file(json_file(output), image)
        if not output.name.startswith(image.stem):
            errors.print(_shown(f'{image}: the name is too long for results; they are called {output.name}', errors),
                         highlight=False)
    predictor = _load(args)
    failures, done = [], 0
    with _progress_bar(console, hidden=len(images) == 1) as progress:
        for image in progress.track(images, description='segmenting'):
            try:
                result = predictor.predict(image)
                written = result.save(outputs[image], opacity=args.opacity, legend=not args.no_legend, masks=args.masks,
                                      json=args.json)
            except Exception as error:
                if args.debug:
                    print_trace()
                failures.append(Failure(image, one_line(error)))
                if isinstance(error, OutputError) and (error.is_disk_full or not _takes_results(args.out)):
                    break  # the next picture would find the same disk
                continue
            _report(result, predictor.thresholds(result.task), _names(written), console)
            done += 1
    if len(images) > 1:
        console.print(f'{done} of {len(images)} pictures segmented', highlight=False)
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
    """The overlay, the JSON, and the folder of masks with the number of files in it."""
    folder = masks_folder_of(written[0])
    masks = [path for path in written if path.parent == folder]
    names = [str(path) for path in written if path.parent != folder]
    return ', '.join(names + [f'{folder}{os.sep} ({len(masks)} files)'] * bool(masks))


def _report(result: SegmentationResult, thresholds: dict[str, float], written: str, console: Console) -> None:
    height, width = result.image_size
    # Paths stay on one line of their own, to be copied or opened.
    console.print(_shown(f'{result.source}, {width}x{height}', console), soft_wrap=True, highlight=False)
    if result.areas():
        console.print(_area_table(result, console))
    else:
        options = ', '.join(f'{name}={value:g}' for name, value in thresholds.items())
        console.print(f'nothing found{options and f": no segment passes {options}"}', soft_wrap=True, highlight=False)
    console.print(_shown(f'written: {written}', console), soft_wrap=True, highlight=False)


def _area_table(result: SegmentationResult, console: Console) -> Table:
    table = Table()
    table.add_column('class', overflow='fold')
    areas = result.areas()
    has_instances = any(area.instances is not None for area in areas)
    if has_instances:
        table.add_column('instances', justify='right')
    table.add_column('pixels', justify='right')
    table.add_column('share', justify='right')
    table.add_column('score', justify='right')
    for (label, _), (name, pixels, fraction, instances) in zip(result.pixels_by_label(), areas, strict=True):
        color, ink = result.palette[label], text_color(result.palette[label])
        style = f'rgb({ink[0]},{ink[1]},{ink[2]}) on rgb({color[0]},{color[1]},{color[2]})'
        scores = result.scores[result.labels == label]
        score = '-' if np.isnan(scores).any() else f'{scores.mean():.2f}'
        counted = ['-' if instances is None else f'{instances:,}'] * has_instances
        table.add_row(f'[{style}] {_shown(name, console)} [/]', *counted, f'{pixels:,}', percent_text(fraction), score)
    return table


def _reason(failure: Failure) -> str:
    """Path and reason, the path once."""
    path = printable(failure.image)
    return failure.reason if failure.reason.startswith(path) else f'{path}: {failure.reason}'


if __name__ == '__main__':
    sys.exit(main())

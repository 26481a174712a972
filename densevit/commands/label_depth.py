"""Let a large model of depth make what a small one learns from: a folder for ``train --data``."""
from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.depth.depth_files import depth_npy
from ..engine import cli
from ..errors import one_line, printable
from ..files import write_atomic
from ..images import read_image
from . import example

_NEAREST = .1  # of relative disparity, whose zero nobody knows: the farthest is as far as ten times the nearest


def build_parser(prog: str) -> cli.OneLineParser:
    parser = cli.OneLineParser(example('label-depth', prog), prog=prog, description=__doc__)
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='files, folders or patterns')
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER', help='for images/ and depth/')
    parser.add_argument('--model', metavar='NAME', help='the teacher: a model that is known by name')
    parser.add_argument('--config', metavar='FILE', help='the teacher: the config of a model, with --weights')
    parser.add_argument('--weights', metavar='FILE', help='its checkpoint, or another one for --model')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, ... (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1, metavar='N', help='pictures of one size at once')
    parser.add_argument('--max-side', type=int, default=1024, metavar='PIXELS',
                        help='larger pictures are shrunk to this longer side (default: %(default)s)')
    return parser


def label(args: argparse.Namespace) -> None:
    """Write pictures and depth; what is there already is kept, so that a run that was stopped goes on.

    Raises:
        ValueError: There is no teacher, it is none of depth, or no picture could be labelled.
    """
    from ..inference import load  # seconds that --help need not wait for
    from ..inference.sources import find_images, plan_outputs

    if not (args.model or args.config):
        raise ValueError('give the teacher: --model NAME, or --config FILE and --weights FILE')
    pictures = plan_outputs(find_images(args.images), args.out / 'images')
    todo = {image: target for image, target in pictures.items() if not _depth_file(target, args.out).exists()}
    predictor = load(args.config or args.model, weights=args.weights, device=args.device)
    if getattr(predictor.model, 'task', None) != 'depth':
        raise ValueError(f'{args.config or args.model} is no model of depth: densevit models --task depth lists some')
    failed, metric = [], True
    small = (_shrunk(image, args.max_side) for image in todo)
    for (image, target), outcome in zip(todo.items(), predictor.outcomes(small, args.batch_size), strict=True):
        if isinstance(outcome, Exception):
            failed.append(f'{printable(image)}: {one_line(outcome)}')
            continue
        metric = outcome.kind == 'metric'
        for folder in (target.parent, _depth_file(target, args.out).parent):
            folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(outcome.image).save(target, **(dict(quality=95) if target.suffix != '.png' else {}))
        depth = teaching_depth(outcome.values, outcome.kind)
        if outcome.sky is not None:
            depth[outcome.sky] = 0
        write_atomic(depth_npy(depth), _depth_file(target, args.out))  # last: its presence says that all is there
    for line in failed:
        print(f'left out: {line}')
    if len(failed) == len(pictures):
        raise ValueError('no picture could be labelled')
    if todo:
        settings = dict(teacher=str(args.model or args.config), kind='metric' if metric else 'relative')
        write_atomic(json.dumps(settings).encode(), args.out / 'depth.json')
    student = 'densevit::tiny/dpt_tiny_student.py'
    print(f'{len(pictures) - len(failed)} pictures with depth in {printable(args.out)}: teach a small model with '
          f'densevit train {student} --data {printable(args.out)}')


def teaching_depth(values: np.ndarray, kind: str) -> np.ndarray:
    """Positive depth (H, W) float32 of what a teacher gives: metres, or an inverse whose scale and shift are any.

    A student that learns relative disparity sees the same of any of them, since its loss knows neither scale nor shift.
    """
    if kind != 'relative_disparity':
        return values.astype(np.float32)
    least, most = float(values.min()), float(values.max())
    nearness = (values - least) / max(most - least, 1e-12)
    return (1 / (_NEAREST + (1 - _NEAREST) * nearness)).astype(np.float32)


def _depth_file(picture: Path, out: Path) -> Path:
    """A picture's depth: of the same name below depth/."""
    return (out / 'depth' / picture.relative_to(out / 'images')).with_suffix('.npy')


def _shrunk(image: Path, longest: int) -> np.ndarray | Path:
    """A picture (H, W, 3) uint8 of at most so many pixels along a side; the path of what cannot be read."""
    try:
        pixels = read_image(image)
    except Exception:  # the predictor says why
        return image
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def main(argv: Sequence[str], prog: str = 'densevit label-depth') -> int:
    """Run the command."""
    return cli.run(label, build_parser(prog), argv)

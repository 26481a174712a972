"""Make a file of the package's zoo, with its model card, from a training checkpoint."""
import argparse
import sys

from densevit.errors import one_line
from densevit.weights.publish import publish_weights


def _metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition('=')
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=VALUE, such as mIoU=0.58") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint of tools/train.py')
    parser.add_argument('name', help='name in the zoo (densevit/weights/zoo.py)')
    parser.add_argument('--metrics', nargs='+', type=_metric, required=True, metavar='NAME=VALUE',
                        help='in [0, 1]: mIoU=0.58')
    parser.add_argument('--data', default='', help='what it was trained on')
    parser.add_argument('--terms', default='', help='under which terms the data are given')
    parser.add_argument('--command', default='', help='how to train it again (default: tools/train.py with its config)')
    parser.add_argument('--scalars', metavar='FILE', help="the run's vis_data/scalars.json, for the curve")
    args = parser.parse_args()
    try:
        written = publish_weights(args.checkpoint, args.name, dict(args.metrics), data=args.data, terms=args.terms,
                                  command=args.command, scalars=args.scalars)
    except (ValueError, OSError) as error:
        print(f'error: {one_line(error)}', file=sys.stderr)
        return 2
    for path in written:
        print(f'{path}: {path.stat().st_size:,} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())

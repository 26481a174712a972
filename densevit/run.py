"""Run a tool of OpenMMLab, or any script, with densevit imported first.

    python -m densevit.run mmdet::train my_config.py --work-dir work_dirs/mine

mmcv's operators, ``type='densevit...'`` and ``_base_ = 'mmseg::...'`` then work without a change of tool or config.
"""
from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

_EPILOG = """examples:
  python -m densevit.run mmdet::train my_config.py --work-dir work_dirs/mine
  python -m densevit.run mmseg::analysis_tools/browse_dataset my_config.py --output-dir samples --not-show
  torchrun --nproc-per-node 2 -m densevit.run mmseg::train my_config.py --launcher pytorch
  python -m densevit.run my_script.py"""


def tool_file(name: str) -> Path:
    """The file of a tool.

    Args:
        name: ``'mmseg::train'``, a file of the tools that a package of OpenMMLab brings along, or the path of a script.

    Raises:
        FileNotFoundError: There is none; the message names what is near.
    """
    package, separator, tool = name.partition('::')
    if not separator:
        if Path(name).is_file():
            return Path(name)
        raise FileNotFoundError(f'{name}: no such file; tools of an installed package are named mmseg::train')
    spec = find_spec(package) if package.isidentifier() else None
    folders = [Path(folder) / '.mim' / 'tools' for folder in (spec and spec.submodule_search_locations) or ()]
    known = {file.relative_to(folder).with_suffix('').as_posix(): file
             for folder in folders for file in folder.rglob('*.py')}
    if not known:
        raise FileNotFoundError(f'{name}: the package {package} is not installed or brings no tools; check its name')
    wanted = tool.removeprefix('tools/').removesuffix('.py')
    if wanted not in known:
        near = get_close_matches(wanted, known, 1, cutoff=0.)[0]
        raise FileNotFoundError(f'{name}: no such tool; did you mean {package}::{near}?')
    return known[wanted]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool that the arguments name as Python would run its file; an exit code of its own ends the process."""
    parser = argparse.ArgumentParser(
        prog='python -m densevit.run', description=__doc__.partition('\n')[0], epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tool', help='PACKAGE::TOOL, such as mmseg::train, or the path of a script')
    parser.add_argument('args', nargs=argparse.REMAINDER, help="of the tool; --help among them shows the tool's")
    args = parser.parse_args(argv)
    try:
        path = tool_file(args.tool)
    except FileNotFoundError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    sys.argv = [str(path), *args.args]
    sys.path.insert(0, str(path.resolve().parent))
    runpy.run_path(str(path), run_name='__main__')
    return 0


if __name__ == '__main__':
    sys.exit(main())

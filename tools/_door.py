"""What the files of tools/ and demo/ do: they hand their arguments to a command of the package."""
from __future__ import annotations

import sys
from pathlib import Path


def run(command: str) -> None:
    """Run ``densevit COMMAND`` with the arguments of this process, under the name of its file, and end the process."""
    file = Path(sys.argv[0]).resolve()
    try:
        from densevit.commands import main
        code = main([command, *sys.argv[1:]], prog=f'python {file.parent.name}/{file.name}')
    except ModuleNotFoundError as error:
        print(f'error: {error.name} is not installed: run `pip install -e .` in {file.parents[1]}', file=sys.stderr)
        code = 2
    except KeyboardInterrupt:  # while PyTorch is imported, which takes seconds
        print('interrupted', file=sys.stderr)
        code = 130
    sys.exit(code)

"""Predict pictures; :mod:`densevit.inference.cli` has the arguments."""
from __future__ import annotations

from collections.abc import Sequence

from ..inference import cli


def main(argv: Sequence[str], prog: str = 'densevit predict') -> int:
    """Run the command."""
    return cli.main(argv, prog)

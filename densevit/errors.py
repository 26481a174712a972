"""What a user is told: errors and doubts as one line that a terminal shows as it is."""
from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence

# Control characters and what begins escape sequences, line separators, marks that turn the direction of writing, and
# the surrogates by which Python stands for bytes of a file name that are not UTF-8.
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')


class DoubtfulResultWarning(UserWarning):
    """A result is given and may mean nothing; the message is one line and says what to do about it."""


def printable(text: object) -> str:
    r"""A name from a file, a checkpoint or a command line, as one line that does nothing to a terminal.

    Control characters are shown as Python writes them (``'\x1b'``, ``'\n'``), a byte that is not UTF-8 as ``'\xff'``.
    """
    return _UNPRINTABLE.sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if '\udc80' <= character <= '\udcff':  # PEP 383: a byte that could not be decoded
        return f'\\x{ord(character) - 0xdc00:02x}'
    return character.encode('unicode_escape').decode('ascii')


def one_line(error: BaseException, limit: int | None = None) -> str:
    """The message as one printable line, with the error's name unless it was written for the user.

    Args:
        error: Ours, ``ValueError`` and ``OSError`` speak for themselves; of a dataloader's worker, the error it met.
        limit: Longest message; what is beyond it is left out.
    """
    name, own = type(error).__name__, type(error).__module__.partition('.')[0] == 'densevit'
    # str(KeyError('text')) has quotation marks
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if 'Original Traceback' in text:  # of a dataloader's worker: the last line has name and message
        name, _, text = text.strip().rpartition('\n')[2].partition(': ')
    text = printable(' '.join(text.split()))
    if limit is not None and len(text) > limit:
        text = text[:limit] + '...'
    if not text:
        return name
    return text if own or isinstance(error, ValueError | OSError) else f'{name}: {text}'


def print_trace() -> None:
    """The trace of the error that is being handled, to the standard error, each line printable."""
    print('\n'.join(map(printable, traceback.format_exc().splitlines())), file=sys.stderr)


def shorten(names: Sequence[str], limit: int = 6) -> str:
    """The first names, printable, and how many more there are."""
    rest = len(names) - limit
    return ', '.join(map(printable, names[:limit])) + (f' and {rest} more' if rest > 0 else '')

"""What an error says to a user."""
from __future__ import annotations

from collections.abc import Sequence


def one_line(error: BaseException, limit: int | None = None) -> str:
    """The message without line breaks, and with the error's name unless it was written for the user.

    Args:
        error: Ours, ``ValueError`` and ``OSError`` speak for themselves; of a dataloader's worker, the error it met.
        limit: Longest message; what is beyond it is left out.
    """
    name, own = type(error).__name__, type(error).__module__.partition('.')[0] == 'densevit'
    # str(KeyError('text')) has quotation marks
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if 'Original Traceback' in text:  # of a dataloader's worker: the last line has name and message
        name, _, text = text.strip().rpartition('\n')[2].partition(': ')
    text = ' '.join(text.split())
    if limit is not None and len(text) > limit:
        text = text[:limit] + '...'
    if not text:
        return name
    return text if own or isinstance(error, ValueError | OSError) else f'{name}: {text}'


def shorten(names: Sequence[str], limit: int = 6) -> str:
    """The first names and how many more there are."""
    rest = len(names) - limit
    return ', '.join(names[:limit]) + (f' and {rest} more' if rest > 0 else '')

"""What an error says to a user."""
from __future__ import annotations

from densevit.datasets.common.checks import EmptyDatasetError
from densevit.errors import one_line, shorten

WORKER = """Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "a.py", line 1, in <module>
ValueError: the label"""


def test_one_line():
    for error, line in (
            (ValueError('two\n  lines'), 'two lines'), (KeyError('name'), 'KeyError: name'),
            (RuntimeError(), 'RuntimeError'), (TypeError('a'), 'TypeError: a'), (EmptyDatasetError('ours'), 'ours'),
            (RuntimeError(WORKER), 'ValueError: the label'), (ValueError(WORKER), 'the label')):
        assert one_line(error) == line
    assert one_line(ValueError('abcdef'), limit=3) == 'abc...'


def test_names_of_tensors_do_nothing_to_a_terminal():
    assert shorten(['a\x1b[2J', 'b', 'c'], 2) == r'a\x1b[2J, b and 1 more'

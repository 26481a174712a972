"""What an error says to a user."""
from __future__ import annotations

from densevit.datasets.common.checks import EmptyDatasetError
from densevit.errors import one_line

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

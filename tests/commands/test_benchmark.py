"""tools/benchmark.py gives numbers; what they are is not a matter of tests."""
from __future__ import annotations

import math
import re

import pytest
import torch

from densevit.benchmarks import attention

pytest.importorskip('mmcv')
SMALL = '--levels', '3x4', '2x2', '--heads', 2, '--channels', 4, '--points', 2, '--batch', 2, '--repeats', 2


@pytest.fixture(autouse=True)
def threads():
    """A test that sets the number of threads does not set it for those after it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_op__prints_a_row_for_each_direction_and_implementation(tool, capsys):
    assert tool('benchmark', 'op', *SMALL, '--threads', 1) == 0
    printed = capsys.readouterr().out
    assert '3x4 2x2, 16 queries' in printed and torch.__version__ in printed and '1 thread' in printed
    rows = [line for line in printed.splitlines() if re.search(r'\b(mmcv|densevit)\b', line)]
    assert [('backward' in row, 'densevit' in row) for row in rows] == [
        (False, False), (False, True), (True, False), (True, True)]
    for row in rows:
        numbers = [float(number) for number in re.findall(r'[\d.]+', row)]
        assert len(numbers) == 4 and all(math.isfinite(number) and number >= 0 for number in numbers)


def test_op__measures_by_turns():
    calls = []
    functions = {name: lambda value, locations, weights, name=name: calls.append(name) or value * weights.sum()
                 + locations.sum() for name in (attention.MMCV, attention.OURS)}
    inputs = attention.AttentionCase(((2, 2),), 1, 4, 1).inputs(torch.device('cpu'))
    advanced = []
    measured = attention.measure(functions, inputs, 3, lambda: advanced.append(None))
    assert calls[-8:] == [attention.MMCV, attention.OURS] * 4
    assert len(advanced) == attention.num_runs(functions, 3)
    assert len(measured) == 4 and all(len(row.seconds) == 3 and min(row.seconds) > 0 for row in measured.values())


def test_op__counts_the_most_memory_at_a_time():
    def one_after_the_other(value, locations, weights):
        for _ in range(3):
            torch.empty(1 << 20, dtype=torch.uint8)
        return value + locations + weights

    def at_once(value, locations, weights):
        kept = [torch.empty(1 << 20, dtype=torch.uint8) for _ in range(3)]
        return value + locations + weights + len(kept)

    inputs = (torch.ones(1),) * 3
    functions = dict(one=one_after_the_other, three=at_once)
    rows = {implementation: timing.peak_bytes
            for (direction, implementation), timing in attention.measure(functions, inputs, 1).items()
            if direction == attention.FORWARD}
    assert 1 << 20 <= rows['one'] < 1.1 * (1 << 20) and 3 << 20 <= rows['three'] < 3.1 * (1 << 20)


def test_op__compares_two_functions_that_agree():
    case = attention.AttentionCase(((3, 4), (2, 2)), 2, 4, 2)
    functions = attention.implementations(case.levels, compiled=False)
    assert functions.keys() == {attention.MMCV, attention.OURS}
    assert 0 < attention.largest_difference(functions, case.inputs(torch.device('cpu'))) < 1e-5


def test_op__says_what_is_wrong(tool, capsys):
    for arguments, message in ((('--levels', '0x4'), '--levels must have at least one pixel each'),
                               (('--heads', 0), '--heads must be at least 1, not 0'),
                               (('--repeats', 0), '--repeats must be at least 1, not 0'),
                               (('--threads', 0), '--threads must be at least 1, not 0')):
        assert tool('benchmark', 'op', *arguments) == 2
        assert f'error: {message}' in capsys.readouterr().err
    for arguments, message in ((('op', '--levels', '64'), "'64' is not of the form HEIGHTxWIDTH, such as 64x64"),
                               (('op', '--device', 'abacus'), "'abacus' is not a device; take cpu or cuda"),
                               ((), 'the following arguments are required: WHAT')):
        with pytest.raises(SystemExit, match='2'):
            tool('benchmark', *arguments)
        assert message in capsys.readouterr().err

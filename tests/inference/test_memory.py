"""What a prediction takes is measured without a word."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MEASURE = '''
import torch
from densevit.inference.memory import peak_bytes

image = torch.rand(1, 3, 256, 256)
for _ in range(2):
    taken = peak_bytes(lambda: image.double().sum(), torch.device('cpu'))
    assert abs(taken - 8 * image.numel()) < 1000, taken
'''


def measured(**variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2]), **variables}
    return subprocess.run([sys.executable, '-c', MEASURE], capture_output=True, text=True, timeout=120, env=environment)


def test_peak_bytes__nothing_is_printed():
    done = measured()
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_peak_bytes__the_log_that_is_asked_for_is_kept():
    done = measured(KINETO_LOG_LEVEL='1')
    assert done.returncode == 0 and 'profiler_start' in done.stderr

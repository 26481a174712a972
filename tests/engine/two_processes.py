"""Trains the configs that are named, one after the other, as one of several processes of torchrun.

python -m torch.distributed.run --standalone --nproc_per_node 2 tests/engine/two_processes.py CONFIG WORK_DIR ...
"""
from __future__ import annotations

import sys

from checkout import take_shortcuts

from densevit import commands

if __name__ == '__main__':
    take_shortcuts()
    for config, work_dir in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        code = commands.main(['train', config, '--work-dir', work_dir, '--launcher', 'pytorch', '--debug'])
        if code:
            sys.exit(code)

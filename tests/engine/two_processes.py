"""Trains the configs that are named, one after the other, as one of several processes of torchrun.

python -m torch.distributed.run --standalone --nproc_per_node 2 tests/engine/two_processes.py CONFIG WORK_DIR ...
"""
from __future__ import annotations

import sys
from pathlib import Path

from densevit.engine import cli

sys.path.insert(0, str(Path(__file__).parents[1]))
from checkout import load_tool

if __name__ == '__main__':
    module = load_tool('train')
    for config, work_dir in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        code = cli.run(module.main, module.build_parser(),
                       [config, '--work-dir', work_dir, '--launcher', 'pytorch', '--debug'])
        if code:
            sys.exit(code)

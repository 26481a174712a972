#!/usr/bin/env python
"""Predict pictures: python demo/infer.py IMAGE... ; see --help."""
import sys
from pathlib import Path

if __name__ == '__main__':
    sys.path.append(str(Path(__file__).resolve().parents[1] / 'tools'))
    from _door import run
    run('predict')

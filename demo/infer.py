#!/usr/bin/env python
"""Predict pictures: python demo/infer.py IMAGE... ; see --help."""
import sys

from densevit.inference.cli import main

if __name__ == '__main__':
    sys.exit(main())

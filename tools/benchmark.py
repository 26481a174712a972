"""Measure models and operators: python tools/benchmark.py models --preset eomt"""
from _door import run

if __name__ == '__main__':
    run('benchmark')

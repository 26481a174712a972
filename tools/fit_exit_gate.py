"""Teach ECO-M2F's gate how deep an image needs to be encoded: python tools/fit_exit_gate.py --help"""
from _door import run

if __name__ == '__main__':
    run('fit-exit-gate')

"""Evaluate a model: python tools/test.py configs/tiny/eomt_tiny_camvid.py eomt_tiny_camvid"""
from _door import run

if __name__ == '__main__':
    run('test')

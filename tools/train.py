"""Train a model: python tools/train.py configs/tiny/eomt_tiny_camvid.py"""
from _door import run

if __name__ == '__main__':
    run('train')

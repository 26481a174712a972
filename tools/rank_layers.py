"""Choose the layers that are trained behind a masked pre-training: python tools/rank_layers.py --help"""
from _door import run

if __name__ == '__main__':
    run('rank-layers')

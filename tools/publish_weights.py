"""Make a file of the package's zoo, with its model card, from a checkpoint: python tools/publish_weights.py --help"""
from _door import run

if __name__ == '__main__':
    run('publish-weights')

"""Label pictures with the depth of a large model, for a small one to learn from: python tools/label_depth.py --help"""
from _door import run

if __name__ == '__main__':
    run('label-depth')

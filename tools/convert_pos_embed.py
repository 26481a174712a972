"""Give a checkpoint the positions of one window: python tools/convert_pos_embed.py --help"""
from _door import run

if __name__ == '__main__':
    run('convert-pos-embed')
